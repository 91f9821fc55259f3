// Timing collectives.
#include "programs/moat_probe/collectives.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "core/clock.h"
#include "core/error.h"
#include "tensor/ops.h"

namespace moat::programs {
namespace {

using comm::Order;
using comm::ReduceOp;

constexpr int kRounds = 7;

double Best(comm::Communicator& group, tensor::Stream& stream, const std::function<void()>& body) {
  double best = 1e30;
  for (int round = 0; round < kRounds; ++round) {
    group.Barrier();
    const double start = core::MonotonicSeconds();
    body();
    group.Finish(stream);
    group.Barrier();
    best = std::min(best, core::MonotonicSeconds() - start);
  }
  return best;
}

void CheckSum(comm::Communicator& group, tensor::View buffer, tensor::Stream& stream) {
  std::vector<float> values(static_cast<size_t>(buffer.count), 1.0f);
  const auto count = std::ssize(values);
  tensor::Copy(tensor::HostView(std::as_const(values).data(), count), buffer, stream);
  group.AllReduce(buffer, ReduceOp::kSum, Order::kAny, stream);
  tensor::Copy(buffer, tensor::HostView(values.data(), count), stream);
  group.Finish(stream);
  for (const float value : values) {
    if (value == static_cast<float>(group.size())) continue;
    throw core::Error(core::ExitCode::kNode, "a sum of ones over " + std::to_string(group.size()) +
                                                 " ranks gave " + std::to_string(value));
  }
}

}  // namespace

double MeasurePairs(comm::MpiSession& session, comm::Communicator& world) {
  const int ranks = session.size();
  if (ranks == 1) return 0;
  const int hop = session.local_size() < ranks ? session.local_size() : 1;
  const int places = ranks / hop, place = session.rank() / hop;
  double best = 0;
  tensor::Stream host;
  tensor::Tensor buffer(1 << 20, core::DType::kF32, core::DeviceKind::kCpu);
  // Places 0-1, 2-3, ..., then 1-2, 3-4, ..., then what the ring leaves over: the last with the
  // first. Ranks beyond whole places sit out.
  for (int round = 0; round < 3; ++round) {
    const bool ring = round == 2;
    const bool first = ring ? place == places - 1 : place % 2 == round && place + 1 < places;
    const bool second = ring ? place == 0 : place > 0 && (place - 1) % 2 == round;
    const bool sits_out = place >= places || (ring && places < 3) || (!first && !second);
    world.Barrier();
    if (sits_out) continue;
    const int other = ring ? (first ? session.rank() % hop : (places - 1) * hop + session.rank())
                           : session.rank() + (first ? hop : -hop);
    const auto pair =
        session.Group("pair", {std::min(session.rank(), other), std::max(session.rank(), other)});
    const double seconds = Best(
        *pair, host, [&] { pair->AllReduce(buffer.view(), ReduceOp::kMax, Order::kAny, host); });
    best = std::max(best, 1e-9 * static_cast<double>(buffer.bytes().value) / seconds);
  }
  return best;
}

CollectiveRates MeasureCollectives(comm::Communicator& group, tensor::Stream& stream) {
  CollectiveRates measured;
  measured.ranks = group.size();
  if (group.size() == 1) return measured;  // nothing moves
  tensor::Stream host;
  measured.barrier_seconds = Best(group, host, [&] { group.Barrier(); }) / 2;
  for (const int64_t count : {int64_t{1} << 10, int64_t{1} << 18, int64_t{1} << 24}) {
    const int64_t part = count / group.size();
    tensor::Tensor whole(part * group.size(), core::DType::kF32, stream.device());
    tensor::Tensor own(part, core::DType::kF32, stream.device());
    CheckSum(group, whole.view(), stream);
    const auto add = [&](const char* what, const std::function<void()>& body) {
      measured.rates.push_back({what, whole.bytes(), Best(group, stream, body)});
    };
    add("all_reduce", [&] { group.AllReduce(whole.view(), ReduceOp::kMax, Order::kAny, stream); });
    add("reduce_scatter", [&] {
      group.ReduceScatter(whole.view(), own.view(), ReduceOp::kMax, Order::kAny, stream);
    });
    add("all_gather", [&] { group.AllGather(own.view(), whole.view(), stream); });
  }
  return measured;
}

}  // namespace moat::programs
