// Comparing replicas.
#include "trainer/replica_check.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <utility>

#include "core/crc32c.h"
#include "core/error.h"
#include "tensor/host_stretches.h"

namespace moat::trainer {
namespace {

uint32_t Crc(tensor::ConstView view, uint32_t crc, tensor::Stream& stream) {
  tensor::ForEachHostStretch(view, tensor::kHostStretchBytes, &stream,
                             [&](const char* bytes, int64_t count) {
                               crc = core::Crc32c(bytes, static_cast<size_t>(count), crc);
                             });
  return crc;
}

// Of a group that should agree: those outside the largest set that does.
template <typename HashOf>
void AddOdd(const std::vector<int>& group, const HashOf& hash_of, std::vector<int>* odd) {
  std::map<uint32_t, int> votes;
  for (const int rank : group) ++votes[hash_of(rank)];
  int most = 0;
  for (const auto& [hash, count] : votes) most = std::max(most, count);
  const bool tied = std::count_if(votes.begin(), votes.end(),
                                  [&](const auto& v) { return v.second == most; }) > 1;
  for (const int rank : group) {
    if (tied || votes[hash_of(rank)] < most) odd->push_back(rank);
  }
}

}  // namespace

ReplicaHashes HashesOf(model::Transformer& model, Optimizer& optimizer) {
  ReplicaHashes hashes;
  tensor::Stream& stream = optimizer.stream();
  hashes.all = Crc(model.pass_weights(), 0, stream);
  for (const OptimizedPart& part : optimizer.held()) {
    if (optimizer.sharded()) break;  // its state has no replica
    for (const tensor::View view : {part.weight, part.moment1, part.moment2}) {
      hashes.all = Crc(view, hashes.all, stream);
    }
  }
  for (size_t p = 0; p < model.parameters().size(); ++p) {
    const int tp = model.axis().size();
    const int copies = parallel::Copies(model.parameters()[p].split, tp);
    if (copies == 1) continue;
    uint32_t& hash = copies == tp ? hashes.replicated : hashes.shared;
    const model::FlatRange& range = model.layout()[p];
    hash = Crc(model.pass_weights().Range(range.begin, range.count), hash, stream);
  }
  return hashes;
}

int CopiesOf(const model::Transformer& model) {
  const auto keys = static_cast<size_t>(model.index().layers[0].wq) + 1;
  return parallel::Copies(model.parameters()[keys].split, model.axis().size());
}

std::vector<int> OddRanks(const std::vector<ReplicaHashes>& ranks, int tp, int copies) {
  const int size = static_cast<int>(ranks.size());
  std::vector<int> odd;
  const auto compare = [&](int group_size, uint32_t ReplicaHashes::*hash) {
    for (int first = 0; first < size; first += group_size) {
      std::vector<int> group(static_cast<size_t>(group_size));
      std::iota(group.begin(), group.end(), first);
      AddOdd(
          group, [&](int r) { return ranks[static_cast<size_t>(r)].*hash; }, &odd);
    }
  };
  for (int tp_index = 0; tp_index < tp; ++tp_index) {
    std::vector<int> data_group;
    for (int rank = tp_index; rank < size; rank += tp) data_group.push_back(rank);
    AddOdd(
        data_group, [&](int r) { return ranks[static_cast<size_t>(r)].all; }, &odd);
  }
  if (odd.empty()) {  // a data group is the better judge where it is large enough for a majority
    compare(tp, &ReplicaHashes::replicated);
    compare(copies, &ReplicaHashes::shared);
  }
  std::sort(odd.begin(), odd.end());
  odd.erase(std::unique(odd.begin(), odd.end()), odd.end());
  return odd;
}

void CheckReplicas(model::Transformer& model, Optimizer& optimizer, const RankGroups& groups,
                   int64_t step) {
  if (groups.world.size() == 1) return;
  optimizer.WaitForWeights();
  const ReplicaHashes mine = HashesOf(model, optimizer);
  const std::array<uint64_t, 2> packed = {uint64_t{mine.all} << 32 | mine.replicated, mine.shared};
  std::vector<uint64_t> all(packed.size() * static_cast<size_t>(groups.world.size()));
  tensor::Stream host;
  groups.world.AllGather(tensor::HostView(packed.data(), static_cast<int64_t>(packed.size())),
                         tensor::HostView(all.data(), static_cast<int64_t>(all.size())), host);
  std::vector<ReplicaHashes> ranks;
  for (size_t at = 0; at < all.size(); at += packed.size()) {
    ranks.push_back({static_cast<uint32_t>(all[at] >> 32), static_cast<uint32_t>(all[at]),
                     static_cast<uint32_t>(all[at + 1])});
  }
  const std::vector<int> odd = OddRanks(ranks, groups.tensor.size(), CopiesOf(model));
  if (odd.empty()) return;
  std::string names;
  for (const int rank : odd) names += (names.empty() ? "" : ", ") + std::to_string(rank);
  throw core::Error(
      core::ExitCode::kNode,
      "step " + std::to_string(step) + ": replicas differ: rank " + names + " of " +
          std::to_string(groups.world.size()) +
          " holds other weights or moments than its peers; nothing of this step is saved. Memory, "
          "a "
          "processor or a device may be failing there: run elsewhere; the run goes on from its "
          "last checkpoint");
}

}  // namespace moat::trainer
