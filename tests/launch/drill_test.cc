// What a drill finds equal, and what it must not.
#include "launch/drill.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace moat::launch {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

DrillSide Side(const std::vector<double>& losses, const std::string& hash = "00ab") {
  DrillSide side;
  for (const double loss : losses) {
    const auto step = static_cast<int64_t>(side.metrics.steps.size()) + 1;
    side.metrics.steps[step].loss = loss;
  }
  side.state_hash = hash;
  return side;
}

TEST(Drill, EqualLossesAndStatesAreOk) {
  const DrillReport report = CompareSides(Side({3, 2, 1}), Side({3, 2, 1}));
  EXPECT_TRUE(report.equal());
  EXPECT_EQ(report.steps, 3);
  EXPECT_THAT(ToText(report), StartsWith("ok: 3 steps"));
}

TEST(Drill, OneBitOfOneLossIsFound) {
  const DrillReport report = CompareSides(Side({3, 2, 1}), Side({3, std::nextafter(2.0, 3.0), 1}));
  EXPECT_FALSE(report.equal());
  EXPECT_EQ(report.differs_at, 2);
  EXPECT_THAT(ToText(report), HasSubstr("step 2 differs: loss 2 undisturbed, 2.0000000000000004"));
}

TEST(Drill, AStepThatOneRunLacksIsFound) {
  EXPECT_EQ(CompareSides(Side({3, 2}), Side({3, 2, 1})).differs_at, 3);
  EXPECT_EQ(CompareSides(Side({3, 2, 1}), Side({3, 2})).differs_at, 3);
  DrillSide hole = Side({3, 2, 1});
  hole.metrics.steps.erase(2);
  EXPECT_EQ(CompareSides(Side({3, 2, 1}), hole).differs_at, 2);
  EXPECT_EQ(CompareSides(hole, Side({3, 2, 1})).differs_at, 2);
}

TEST(Drill, AnotherStateIsFound) {
  const DrillReport report = CompareSides(Side({3}, "00ab"), Side({3}, "00ac"));
  EXPECT_FALSE(report.equal());
  EXPECT_THAT(ToText(report), HasSubstr("the state differs: 00ab undisturbed, 00ac drilled"));
}

TEST(Drill, NothingProvesNothing) {
  EXPECT_FALSE(CompareSides(Side({}), Side({})).equal());
  EXPECT_FALSE(CompareSides(Side({3}, ""), Side({3}, "")).equal());
}

TEST(Drill, TheLastStateHashOfALogCounts) {
  EXPECT_EQ(StateHashIn("x\nstate hash 0aF\n... state hash 00ab12: of all weights\n"), "00ab12");
  EXPECT_EQ(StateHashIn("nothing"), "");
}

}  // namespace
}  // namespace moat::launch
