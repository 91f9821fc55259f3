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
