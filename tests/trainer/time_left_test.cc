// When a run that knows its end saves and goes.
#include "trainer/time_left.h"

#include <gtest/gtest.h>

#include <cmath>

namespace moat::trainer {
namespace {

TEST(TimeLeft, WithoutAnEndItIsNeverUp) {
  const TimeLeft time(std::nullopt, 0);
  EXPECT_FALSE(time.IsUp(1e12, true, false));
}

TEST(TimeLeft, KeepsTimeForAStepASaveAndHalfAsMuchAgain) {
  TimeLeft time(1000, 50);
  time.StepTook(2);
  time.SaveTook(4);
  EXPECT_DOUBLE_EQ(time.reserve(false, false), 1.5 * 6 + 2);
  EXPECT_FALSE(time.IsUp(1050 - 11.1, false, false));
  EXPECT_TRUE(time.IsUp(1050 - 10.9, false, false));
  EXPECT_DOUBLE_EQ(time.reserve(false, true), 1.5 * 10 + 2);  // another save comes before it
}

TEST(TimeLeft, AnEvaluationThatIsDueMustFitToo) {
  TimeLeft time(1000, 0);
  time.StepTook(1);
  time.SaveTook(1);
  time.EvaluationTook(100);
  EXPECT_FALSE(time.IsUp(900, false, false));
  EXPECT_TRUE(time.IsUp(900, true, false));
}

TEST(TimeLeft, TheSlowestSaveCountsAndASlowStepIsForgotten) {
  TimeLeft time(1000, 0);
  EXPECT_DOUBLE_EQ(time.reserve(false, false), 1.5 * 10 + 2);  // of a save nobody has seen
  time.SaveTook(3);
  time.SaveTook(1);
  time.StepTook(60);
  EXPECT_DOUBLE_EQ(time.reserve(false, false), 1.5 * 63 + 2);
  for (int i = 0; i < 200; ++i) time.StepTook(1);
  EXPECT_NEAR(time.reserve(false, false), 1.5 * 4 + 2, 0.01);
}

}  // namespace
}  // namespace moat::trainer
