// What every backend shares: checks, groups of one, deadlines, and text over bytes.
#include "comm/communicator.h"

#include <algorithm>
#include <utility>

#include "comm/reduction_tree.h"
#include "tensor/ops.h"

namespace moat::comm {
namespace {

void CheckView(tensor::ConstView view, const tensor::Stream& stream) {
  MOAT_CHECK(view.count >= 0 && (view.data != nullptr || view.count == 0), "a view without memory");
  MOAT_CHECK(view.device == stream.device(), "buffer and stream are on different devices");
}

// `part` lies nowhere in `whole`, or is exactly its block number `block`.
void CheckPlacement(tensor::ConstView part, tensor::ConstView whole, int block) {
  const auto* const p = static_cast<const char*>(part.data);
  const auto* const w = static_cast<const char*>(whole.data);
  const bool apart = p + part.bytes().value <= w || w + whole.bytes().value <= p;
  MOAT_CHECK(apart || p == w + block * part.bytes().value,
             "buffers overlap, and not as the rank's own block");
}

void CopyIfElsewhere(tensor::ConstView from, tensor::View to, tensor::Stream& stream) {
  if (to.data != from.data) tensor::Copy(from, to, stream);
}

}  // namespace

Communicator::Communicator(std::string name, int rank, std::vector<Member> members)
    : name_(name),
      rank_(rank),
      size_(static_cast<int>(members.size())),
      keeper_(std::move(name), rank, std::move(members)) {
  MOAT_CHECK(rank_ >= 0 && rank_ < size_, "a rank outside of its group");
}

template <typename Body>
void Communicator::Run(const Call& call, const Body& body) {
  ++traffic_.collectives;
  if (size_ == 1) return;
  keeper_.Begin(call);
  if (board_ != nullptr) {
    board_->EnterCollective(board_group_, Name(call.kind), call.count, keeper_.sequence());
  }
  body();
  if (board_ != nullptr) board_->LeaveCollective(board_group_);  // not when it failed: it stays
  keeper_.End();
}

void Communicator::ShowOn(rundir::BoardWriter* board) {
  board_ = board;
  board_group_ = board != nullptr && size_ > 1 ? board->AddGroup(name_) : -1;
}

void Communicator::AllReduce(tensor::View buffer, ReduceOp op, Order order,
                             tensor::Stream& stream) {
  CheckView(buffer, stream);
  MOAT_CHECK(CanReduce(buffer.dtype), "sums are offered for f32, f64, u64 and i64");
  Run({.kind = Call::Kind::kAllReduce,
       .count = buffer.count,
       .dtype = buffer.dtype,
       .op = op,
       .order = order},
      [&] { DoAllReduce(buffer, op, order, stream); });
}

void Communicator::ReduceScatter(tensor::ConstView input, tensor::View output, ReduceOp op,
                                 Order order, tensor::Stream& stream) {
  CheckView(input, stream);
  CheckView(output, stream);
  MOAT_CHECK(CanReduce(input.dtype), "sums are offered for f32, f64, u64 and i64");
  MOAT_CHECK(input.dtype == output.dtype, "input and output differ in dtype");
  MOAT_CHECK(input.count == output.count * size_, "input must be one output block per rank");
  CheckPlacement(output, input, rank_);
  if (size_ == 1) CopyIfElsewhere(input, output, stream);
  Run({.kind = Call::Kind::kReduceScatter,
       .count = output.count,
       .dtype = output.dtype,
       .op = op,
       .order = order},
      [&] { DoReduceScatter(input, output, op, order, stream); });
}

void Communicator::AllGather(tensor::ConstView input, tensor::View output, tensor::Stream& stream) {
  CheckView(input, stream);
  CheckView(output, stream);
  MOAT_CHECK(input.dtype == output.dtype, "input and output differ in dtype");
  MOAT_CHECK(output.count == input.count * size_, "output must be one input block per rank");
  CheckPlacement(input, output, rank_);
  if (size_ == 1) CopyIfElsewhere(input, output, stream);
  Run({.kind = Call::Kind::kAllGather, .count = input.count, .dtype = input.dtype},
      [&] { DoAllGather(input, output, stream); });
}

void Communicator::Broadcast(tensor::View buffer, int root, tensor::Stream& stream) {
  CheckView(buffer, stream);
  MOAT_CHECK(root >= 0 && root < size_, "a root outside of the group");
  Run({.kind = Call::Kind::kBroadcast, .count = buffer.count, .dtype = buffer.dtype, .root = root},
      [&] { DoBroadcast(buffer, root, stream); });
}

void Communicator::Barrier() {
  Run({.kind = Call::Kind::kBarrier}, [&] { DoBarrier(); });
}

void Communicator::RollCall() {
  Run({.kind = Call::Kind::kRollCall}, [&] { DoBarrier(); });
}

std::unique_ptr<Communicator> Communicator::Group(const std::string& name,
                                                  const std::vector<int>& ranks) {
  std::vector<int> sorted = ranks;
  std::sort(sorted.begin(), sorted.end());
  MOAT_CHECK(!ranks.empty() && sorted.front() >= 0 && sorted.back() < size_,
             "a group needs ranks of this one");
  MOAT_CHECK(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end(),
             "a rank is twice in a group");
  MOAT_CHECK(std::binary_search(sorted.begin(), sorted.end(), rank_),
             "a rank makes only groups that hold itself");
  auto group = DoGroup(name, ranks);
  group->SetDeadline(deadline());
  group->ShowOn(board_);
  return group;
}

std::vector<std::string> Communicator::AllGatherText(const std::string& text) {
  tensor::Stream stream;
  const uint64_t length = text.size();
  std::vector<uint64_t> lengths(static_cast<size_t>(size_));
  AllGather(tensor::HostView(&length, 1), tensor::HostView(lengths.data(), size_), stream);
  const auto longest = static_cast<int64_t>(*std::max_element(lengths.begin(), lengths.end()));
  std::vector<uint8_t> mine(static_cast<size_t>(longest));
  std::copy(text.begin(), text.end(), mine.begin());
  std::vector<uint8_t> all(mine.size() * lengths.size());
  AllGather(tensor::HostView(std::as_const(mine).data(), longest),
            tensor::HostView(all.data(), longest * size_), stream);
  std::vector<std::string> texts;
  for (size_t r = 0; r < lengths.size(); ++r) {
    const auto begin = all.begin() + static_cast<int64_t>(r) * longest;
    texts.emplace_back(begin, begin + static_cast<int64_t>(lengths[r]));
  }
  return texts;
}

std::string Communicator::BroadcastText(const std::string& text, int root) {
  tensor::Stream stream;
  uint64_t length = text.size();
  Broadcast(tensor::HostView(&length, 1), root, stream);
  std::string result = rank_ == root ? text : std::string(length, '\0');
  Broadcast(
      tensor::HostView(reinterpret_cast<uint8_t*>(result.data()), static_cast<int64_t>(length)),
      root, stream);
  return result;
}

bool Communicator::AnyOf(bool mine) {
  tensor::Stream stream;
  uint64_t any = mine ? 1 : 0;
  AllReduce(tensor::HostView(&any, 1), ReduceOp::kMax, Order::kTree, stream);
  return any != 0;
}

}  // namespace moat::comm
