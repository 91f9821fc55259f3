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

int64_t Elements(const std::vector<Slice>& locals) {
  int64_t elements = 0;
  for (const Slice& local : locals) elements += local.elements();
  return elements;
}

TEST(BucketPlan, CutsIntoBucketsOfEqualPartsOnBlockBoundaries) {
  for (const int dp : {1, 2, 3, 8}) {
    for (const int64_t elements : {0, 1, 999, 12345}) {
      const BucketPlan plan(elements, dp, 100, 1000);
      EXPECT_GE(plan.padded(), elements);
      EXPECT_LT(plan.padded(), elements + 100 * dp);
      int64_t at = 0;
      for (int i = 0; i < plan.count(); ++i) {
        EXPECT_EQ(plan.bucket(i).begin, at);
        EXPECT_LT(plan.bucket(i).count, 1000 + 100 * dp);
        for (int r = 0; r < dp; ++r) {
          EXPECT_EQ(plan.part(i, r).begin, at);
          EXPECT_EQ(plan.part(i, r).count % 100, 0);
          at = plan.part(i, r).end();
        }
        EXPECT_EQ(plan.bucket(i).end(), at);
      }
      EXPECT_EQ(at, plan.padded());
    }
  }
}

TEST(BucketPlan, HasABlockForEachOfManyRanks) {
  const BucketPlan plan(1 << 20, 4096, 4096, 1 << 20);  // blocks x ranks exceed a bucket
  EXPECT_EQ(plan.count(), 1);
  EXPECT_EQ(plan.part(0, 4095).count, 4096);
}

TEST(OptimizerRange, PartsOfAllRanksTileEveryParameterOnBlockBoundaries) {
  for (const int tp : {1, 2}) {
    for (const int dp : {1, 2, 3, 4, 7, 64}) {
      const std::vector<Slice> locals = Locals(tp - 1, tp);
      const BucketPlan plan(Elements(locals), dp, 16, 3000);
      std::vector<int> owners(static_cast<size_t>(plan.elements()), 0);
      for (int r = 0; r < dp; ++r) {
        int64_t last = -1;
        for (const OptimizerPart& part : OptimizerRange(locals, plan, r)) {
          const int64_t start =
              Elements({locals.begin(), locals.begin() + part.parameter});  // of the parameter
          EXPECT_EQ(part.flat, start + part.begin);
          EXPECT_TRUE(part.begin == 0 || part.flat % 16 == 0);
          EXPECT_GT(part.flat, last);
          last = part.flat;
          EXPECT_LT(part.begin, part.end);
          EXPECT_LE(part.end, locals[static_cast<size_t>(part.parameter)].elements());
          for (int64_t e = part.begin; e < part.end; ++e) ++owners[static_cast<size_t>(start + e)];
        }
      }
      for (const int count : owners) ASSERT_EQ(count, 1) << "tp " << tp << ", dp " << dp;
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
  const BucketPlan plan(local.elements(), 3, 100, 700);
  for (int r = 0; r < 3; ++r) {
    for (const OptimizerPart& part : OptimizerRange({local}, plan, r)) {
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

// What --zero=1 promises of memory.
TEST(OptimizerRange, SharesAreEvenWithinTwoPercent) {
  const std::vector<Slice> locals{Slice::Whole(core::Shape{5000, 1000})};
  for (const int dp : {2, 4, 8}) {
    const BucketPlan plan(Elements(locals), dp);
    for (int r = 0; r < dp; ++r) {
      int64_t elements = 0;
      for (const OptimizerPart& part : OptimizerRange(locals, plan, r))
        elements += part.end - part.begin;
      EXPECT_NEAR(static_cast<double>(elements) * dp / 5e6, 1, 0.02);
    }
  }
}

}  // namespace
}  // namespace moat::parallel
