// The reduction tree over memory against the plain recursion.
#include "comm/reduction_tree.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "core/error.h"
#include "tests/conformance/communicator_suite.h"

namespace moat::comm {
namespace {

TEST(ReductionTree, LeftPartIsTheLargestPowerOfTwoBelow) {
  EXPECT_EQ(LeftPart(2), 1);
  EXPECT_EQ(LeftPart(3), 2);
  EXPECT_EQ(LeftPart(4), 2);
  EXPECT_EQ(LeftPart(5), 4);
  EXPECT_EQ(LeftPart(8), 4);
  EXPECT_EQ(LeftPart(9), 8);
}

TEST(ReductionTree, EqualsThePlainRecursionForEverySizeAlsoInPlace) {
  constexpr int64_t kCount = 1300;  // more than two blocks
  for (int n = 1; n <= 64; ++n) {
    std::vector<std::vector<float>> inputs(static_cast<size_t>(n));
    std::vector<const void*> sources;
    for (int r = 0; r < n; ++r) {
      for (int64_t i = 0; i < kCount; ++i) {
        inputs[static_cast<size_t>(r)].push_back(testing::RandomValue(r, i));
      }
      sources.push_back(inputs[static_cast<size_t>(r)].data());
    }
    std::vector<float> plain, out(kCount);
    for (int64_t i = 0; i < kCount; ++i) plain.push_back(testing::PlainTree(0, n, i));
    ReduceTree(core::DType::kF32, ReduceOp::kSum, sources.data(), n, kCount, out.data());
    ASSERT_EQ(std::memcmp(out.data(), plain.data(), kCount * sizeof(float)), 0) << n;
    std::vector<float>& last = inputs.back();
    ReduceTree(core::DType::kF32, ReduceOp::kSum, sources.data(), n, kCount, last.data());
    ASSERT_EQ(std::memcmp(last.data(), plain.data(), kCount * sizeof(float)), 0) << n;
  }
}

TEST(ReductionTree, RefusesWhatItDoesNotOffer) {
  uint8_t byte = 0;
  const void* source = &byte;
  EXPECT_THROW(ReduceTree(core::DType::kU8, ReduceOp::kSum, &source, 1, 1, &byte), core::BugError);
}

}  // namespace
}  // namespace moat::comm
