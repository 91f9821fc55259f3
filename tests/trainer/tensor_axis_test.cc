// Whole runs over the tensor axis: bits do not depend on dp, threads or ZeRO, with shared kv heads
// and sequence parallelism; and any grid resumes what another saved.
#include <gtest/gtest.h>

#include "tests/trainer/fixture.h"

namespace moat::trainer {
namespace {

class TensorAxisTest : public TrainerTest {
 protected:
  // With 4 tensor ranks the fixture's 2 kv heads are held by 2 ranks each.
  static TrainerOptions Split(const std::filesystem::path& run, int tp, bool sequence_parallel) {
    TrainerOptions options = Options(run);
    options.config.steps = 12;
    options.config.checkpoint_every = 0;
    options.config.check_replicas_every = 4;
    options.config.tp = tp;
    options.config.sequence_parallel = sequence_parallel;
    return options;
  }
};

TEST_F(TensorAxisTest, EveryDpOfOneSplitEndsWithTheSameBits) {
  const testing::TemporaryDirectory runs;
  const End alone = Train(Split(runs / "alone", 1, false), 1, 1);
  for (const auto& [tp, sequence_parallel] :
       {std::pair{2, true}, std::pair{4, false}, std::pair{4, true}}) {
    const std::string name = std::to_string(tp) + (sequence_parallel ? "-cut" : "-whole");
    const End one = Train(Split(runs / (name + "-1"), tp, sequence_parallel), 1, 1, tp);
    ASSERT_EQ(one.losses.size(), 12u);
    EXPECT_LT(one.losses.back(), 0.95 * one.losses.front());
    for (size_t i = 0; i < one.losses.size(); ++i) {
      EXPECT_NEAR(one.losses[i] / alone.losses[i], 1, 1e-5) << name << ", step " << i + 1;
    }
    EXPECT_EQ(one.hashes, alone.hashes);
    EXPECT_NEAR(one.validation / alone.validation, 1, 1e-5);
    for (const int zero : {0, 1}) {
      TrainerOptions options =
          Split(runs / (name + "-2-" + std::to_string(zero)), tp, sequence_parallel);
      options.config.zero = zero;
      const End two = Train(options, 2, 2, tp);
      EXPECT_EQ(two.losses, one.losses) << name;
      EXPECT_TRUE(testing::SameBits(two.state, one.state)) << name;
      EXPECT_EQ(two.hash, one.hash) << name;
    }
  }
}

TEST_F(TensorAxisTest, AnotherSplitGoesOnFromACheckpoint) {
  const testing::TemporaryDirectory runs;
  const End whole = Train(Split(runs / "whole", 1, false), 1, 1);
  TrainerOptions options = Split(runs / "run", 4, true);
  options.stop_code = [asked = 0]() mutable { return ++asked > 6 ? 75 : 0; };
  EXPECT_EQ(Train(options, 2, 1, 4).code, core::ExitCode::kPreempted);
  TrainerOptions resumed = Split(runs / "run", 2, false);
  resumed.attempt = 1;
  const End end = Train(resumed, 1, 1, 2);
  ASSERT_EQ(end.losses.size(), 12u);
  EXPECT_NEAR(end.losses.back() / whole.losses.back(), 1, 1e-4);
  EXPECT_EQ(end.hashes, whole.hashes);
}

}  // namespace
}  // namespace moat::trainer
