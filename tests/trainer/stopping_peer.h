// A data rank that stops inside of a step with --zero=1, on any backend: the others are to name it.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>

#include "comm/self.h"
#include "core/error.h"
#include "tests/model/tiny_model.h"
#include "tests/support/forwarding_communicator.h"
#include "trainer/training_step.h"

namespace moat::testing {

// What the ranks of a data group wait for in a step.
enum class StepWait { kGradients, kNorm, kWeights };

inline const char* CollectiveOf(StepWait wait) {
  constexpr const char* kNames[] = {"reduce_scatter(sum, ", "all_reduce(sum, ", "all_gather("};
  return kNames[static_cast<int>(wait)];
}

struct Stopped {};  // thrown where a rank stops

// A data group that calls `strike` where the collective of a wait begins, and `finish` where this
// rank waits for a device after that.
class StruckGroup : public ForwardingCommunicator {
 public:
  using Hook = std::function<void()>;
  StruckGroup(comm::Communicator& inner, StepWait wait, Hook strike, Hook finish)
      : ForwardingCommunicator(inner),
        wait_(wait),
        strike_(std::move(strike)),
        finish_(std::move(finish)) {}
  // From now on: what came before may take longer than the deadline.
  void Arm(double deadline) {
    inner().SetDeadline(deadline);
    armed_ = true;
  }

 protected:
  void DoReduceScatter(tensor::ConstView input, tensor::View output, comm::ReduceOp op,
                       comm::Order order, tensor::Stream& stream) override {
    StrikeIn(StepWait::kGradients);
    ForwardingCommunicator::DoReduceScatter(input, output, op, order, stream);
  }
  void DoAllReduce(tensor::View buffer, comm::ReduceOp op, comm::Order order,
                   tensor::Stream& stream) override {
    StrikeIn(StepWait::kNorm);
    ForwardingCommunicator::DoAllReduce(buffer, op, order, stream);
  }
  void DoAllGather(tensor::ConstView input, tensor::View output, tensor::Stream& stream) override {
    StrikeIn(StepWait::kWeights);
    ForwardingCommunicator::DoAllGather(input, output, stream);
  }
  void DoFinish(tensor::Stream& stream) override {
    if (std::exchange(struck_, false)) finish_();
    ForwardingCommunicator::DoFinish(stream);
  }

 private:
  void StrikeIn(StepWait wait) {
    if (!armed_ || wait != wait_) return;
    struck_ = true;
    strike_();
  }

  StepWait wait_;
  Hook strike_, finish_;
  bool armed_ = false, struck_ = false;
};

inline data::Batch BatchOf(const configs::ModelConfig& model) {
  const ReferenceBatch tiny = TinyBatch(model, 1);
  data::Batch batch;
  batch.rows = 1;
  batch.seq_len = model.seq_len;
  batch.tokens = tiny.tokens;
  batch.targets = tiny.targets;
  batch.weights = tiny.weights;
  batch.span_start = tiny.span_start;
  batch.samples = {10};
  return batch;
}

// A tiny model's first step over `data`.
inline void TakeAStep(comm::Communicator& world, StruckGroup& data, configs::OverlapMode overlap,
                      double deadline, tensor::Stream& stream) {
  const int dp = data.size();
  const bool canonical = (dp & (dp - 1)) == 0;
  configs::TrainConfig config;
  config.model = TinyConfig();
  config.zero = 1;
  config.overlap = overlap;
  config.global_batch = dp;
  config.micro_batch = 1;
  config.reduction = canonical ? configs::Reduction::kCanonical : configs::Reduction::kFast;
  const auto alone = comm::MakeSelf();
  model::Transformer model(config.model, trainer::ModelOptions(config, dp, nullptr), stream);
  trainer::Optimizer optimizer(config, model, data, stream);
  optimizer.InitializeWeights(3);
  trainer::TrainingStep step(config, parallel::MakeWays(canonical, dp, 1, dp, 0), model, optimizer,
                             {world, data, *alone}, stream);
  step.ProveSync();
  data.Arm(deadline);
  step.Run(
      1, [&] { return BatchOf(config.model); }, [] { return trainer::ControlWords{}; });
  optimizer.WaitForWeights();
}

// The last rank stops in a wait, on the host, or, where `stick` makes work stay on the device, when
// its work is there. The others throw PeerError soon after their deadline, and name it. REQUIRES: a
// world and a data group of the same ranks, of two and more.
inline void WhoStopsIsNamed(StepWait wait, configs::OverlapMode overlap, comm::Communicator& world,
                            comm::Communicator& group, double deadline, tensor::Stream& stream,
                            const StruckGroup::Hook& stick = nullptr) {
  const int missing = group.size() - 1;
  const bool stops = group.rank() == missing;
  const auto stop = [&] {
    group.Abandon();  // a process that ends takes its work along
    throw Stopped();
  };
  const StruckGroup::Hook nothing = [] {};
  StruckGroup data(group, wait,
                   stick   ? stick
                   : stops ? stop
                           : nothing,
                   stick && stops ? stop : nothing);
  try {
    TakeAStep(world, data, overlap, deadline, stream);
    ADD_FAILURE() << "a rank that stops in " << CollectiveOf(wait) << " goes unnoticed";
  } catch (const Stopped&) {
    EXPECT_TRUE(stops);
  } catch (const core::PeerError& error) {
    const std::string what = error.what();
    EXPECT_FALSE(stops) << what;
    EXPECT_NE(what.find(CollectiveOf(wait)), std::string::npos) << what;
    EXPECT_NE(what.find("missing: rank " + std::to_string(missing)), std::string::npos) << what;
    EXPECT_EQ(error.failed().value_or(core::FailedRank{}).rank, missing) << what;
  }
}

}  // namespace moat::testing
