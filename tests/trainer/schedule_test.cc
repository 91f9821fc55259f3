// The learning rate's corners.
#include "trainer/schedule.h"

#include <gtest/gtest.h>

namespace moat::trainer {
namespace {

TEST(LearningRate, WarmsUpPeaksAndEndsAtTheFloor) {
  configs::TrainConfig c;
  c.lr = 1;
  c.min_lr = 0.1;
  c.warmup = 10;
  c.steps = 110;
  EXPECT_DOUBLE_EQ(LearningRate(c, 1), 0.1);
  EXPECT_DOUBLE_EQ(LearningRate(c, 10), 1);
  EXPECT_NEAR(LearningRate(c, 60), 0.55, 1e-12);
  EXPECT_NEAR(LearningRate(c, 110), 0.1, 1e-12);
  c.warmup = 0;
  EXPECT_GT(LearningRate(c, 1), 0.99);
}

}  // namespace
}  // namespace moat::trainer
