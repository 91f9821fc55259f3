// Optimizer ranges tile all parameters, on fixed blocks.
#include "parallel/optimizer_range.h"

#include <gtest/gtest.h>

#include <numeric>

namespace moat::parallel {
namespace {

// Parameters as tensor rank `index` of `tp` holds them: matrices split by row and by column, a
// vector, a scalar, an empty one.
std::vector<Slice> Locals(int index, int tp) {
  return {LocalSlice(SplitSpec::Split(core::Shape{64, 96}, 0), index, tp),
          LocalSlice(SplitSpec::Replicated(core::Shape{37}), index, tp),
          LocalSlice(SplitSpec::Split(core::Shape{33, 130}, 1), index, tp),
          LocalSlice(SplitSpec::Replicated(core::Shape{}), index, tp),
          LocalSlice(SplitSpec::Replicated(core::Shape{0, 5}), index, tp),
          LocalSlice(SplitSpec::Replicated(core::Shape{3, 5, 700}), index, tp)};
}

TEST(OptimizerRange, PartsOfAllRanksTileEveryParameterOnBlockBoundaries) {
  for (const int tp : {1, 2}) {
    for (const int dp : {1, 2, 3, 4, 7, 64}) {
      const std::vector<Slice> locals = Locals(tp - 1, tp);
      std::vector<int64_t> next(locals.size(), 0);
      for (int r = 0; r < dp; ++r) {
        for (const OptimizerPart& part : OptimizerRange(locals, r, dp)) {
          const auto p = static_cast<size_t>(part.parameter);
          EXPECT_EQ(part.begin, next[p]) << "a gap or an overlap at dp " << dp;
          EXPECT_EQ(part.begin % kOptimizerBlock, 0);
          EXPECT_LT(part.begin, part.end);
          next[p] = part.end;
        }
      }
      for (size_t p = 0; p < locals.size(); ++p) EXPECT_EQ(next[p], locals[p].elements());
    }
  }
}

TEST(OptimizerRange, SlicesNameTheElementsOfTheFlatRange) {
  const core::Shape global{33, 130};
  std::vector<int> numbered(33 * 130);
  std::iota(numbered.begin(), numbered.end(), 0);
  const Slice local = LocalSlice(SplitSpec::Split(global, 1), 1, 2);
  std::vector<int> mine(static_cast<size_t>(local.elements()));
  CopySlice(local, Slice::Whole(global), numbered.data(), local, mine.data(), sizeof(int));
  for (int r = 0; r < 3; ++r) {
    for (const OptimizerPart& part : OptimizerRange({local}, r, 3, 100)) {
      int64_t at = part.begin;
      for (const Slice& box : part.slices) {
        std::vector<int> values(static_cast<size_t>(box.elements()));
        CopySlice(box, Slice::Whole(global), numbered.data(), box, values.data(), sizeof(int));
        for (const int value : values) EXPECT_EQ(value, mine[static_cast<size_t>(at++)]);
      }
      EXPECT_EQ(at, part.end);
    }
  }
}

TEST(OptimizerRange, SharesAreEvenUpToABlock) {
  const std::vector<Slice> locals{Slice::Whole(core::Shape{1000, 1000})};
  for (int r = 0; r < 8; ++r) {
    int64_t elements = 0;
    for (const OptimizerPart& part : OptimizerRange(locals, r, 8))
      elements += part.end - part.begin;
    EXPECT_NEAR(static_cast<double>(elements), 125000.0, 1024.0);
  }
}

}  // namespace
}  // namespace moat::parallel
