// --zero=1: less memory a rank, the same bits.
#include <gtest/gtest.h>

#include "model/architecture/memory_plan.h"
#include "tests/trainer/fixture.h"

namespace moat::trainer {
namespace {

class ZeroTest : public TrainerTest {
 protected:
  static TrainerOptions Short(const std::filesystem::path& run, int zero, core::DType dtype) {
    TrainerOptions options = Options(run);
    options.config.steps = 24;
    options.config.zero = zero;
    options.config.dtype = dtype;
    return options;
  }
};

TEST_F(ZeroTest, ShardedOrNotOverlappedOrNotEveryDpEndsWithTheSameBits) {
  for (const core::DType dtype : {core::DType::kF32, core::DType::kBF16}) {
    const testing::TemporaryDirectory runs;
    const End one = Train(Short(runs / "one", 1, dtype), 1, 1);
    EXPECT_LT(one.losses.back(), 0.9 * one.losses.front());
    for (const int dp : {2, 4}) {
      for (const int zero : {0, 1}) {
        TrainerOptions options =
            Short(runs / (std::to_string(dp) + "-" + std::to_string(zero)), zero, dtype);
        options.config.overlap = dp == 2 ? configs::OverlapMode::kOn : configs::OverlapMode::kOff;
        const End other = Train(options, dp, 1);
        EXPECT_EQ(other.losses, one.losses) << "dp " << dp << " zero " << zero;
        EXPECT_TRUE(testing::SameBits(other.state, one.state)) << "dp " << dp << " zero " << zero;
        EXPECT_EQ(other.hash, one.hash);
        EXPECT_EQ(other.validation, one.validation);
      }
    }
  }
}

TEST_F(ZeroTest, ResumesOnAnotherGridAndTheOtherWay) {
  const testing::TemporaryDirectory runs;
  for (const core::DType dtype : {core::DType::kF32, core::DType::kBF16}) {
    const std::string name = core::Name(dtype);
    const End whole = Train(Short(runs / (name + "whole"), 0, dtype), 2, 1);
    const auto leg = [&](int64_t steps, int zero, int dp, int attempt) {
      TrainerOptions options = Short(runs / name, zero, dtype);
      options.attempt = attempt;
      options.stop_code = [left = std::make_shared<std::atomic<int64_t>>(steps * dp)] {
        return --*left <= 0 ? 75 : 0;
      };
      return Train(options, dp, 1);
    };
    EXPECT_EQ(leg(6, 1, 4, 0).code, core::ExitCode::kPreempted);
    EXPECT_EQ(leg(6, 0, 1, 1).code, core::ExitCode::kPreempted);
    const End last = leg(100, 1, 2, 2);
    EXPECT_EQ(last.code, core::ExitCode::kOk);
    EXPECT_EQ(last.hash, whole.hash) << name;
    EXPECT_TRUE(testing::SameBits(last.state, whole.state)) << name;
  }
}

// 1/dp of the moments and, where the passes read rounded weights, of the master weights.
TEST_F(ZeroTest, ARankHoldsItsShareOfTheState) {
  configs::TrainConfig config = Options("unused").config;
  config.dtype = core::DType::kBF16;
  config.model.vocab_size = 4000;
  config.model.width = 256;
  config.model.ffn = 768;
  const int64_t parameters = model::ParameterCount(config.model);
  for (const int dp : {2, 4}) {
    comm::ThreadGroup::Run(dp, [&](comm::Communicator& data) {
      tensor::Stream stream;
      model::Transformer model(config.model, ModelOptions(config, dp, nullptr), stream);
      const Optimizer optimizer(config, model, data, stream);
      EXPECT_TRUE(model.weights().empty());
      const model::MemoryPlan plan = model::PlanMemory(
          config.model, {{config.micro_batch, stream.threads(), config.dtype}, 0, dp, true, 0});
      EXPECT_EQ(plan.of("weights"), model.rounded_weights().bytes());
      EXPECT_EQ(plan.of("gradients"), model.gradients().bytes());
      EXPECT_EQ(plan.of("activations"), model.activation_plan().total);
      int64_t held = 0;
      for (const OptimizedPart& part : optimizer.held()) held += part.moment1.count;
      EXPECT_NEAR(static_cast<double>(plan.of("optimizer").value) / 12, static_cast<double>(held),
                  static_cast<double>(parallel::kOptimizerBlock) * dp);
      EXPECT_NEAR(static_cast<double>(held * dp) / static_cast<double>(parameters), 1, 0.02);
    });
  }
}

}  // namespace
}  // namespace moat::trainer
