// Canonical ways: the same tree for every data-parallel size.
#include "parallel/canonical_ways.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace moat::parallel {
namespace {

TEST(CanonicalWays, DefaultIsTheLargestPowerOfTwoUpToEight) {
  EXPECT_EQ(DefaultWays(16), 8);
  EXPECT_EQ(DefaultWays(12), 4);
  EXPECT_EQ(DefaultWays(7), 1);
}

TEST(CanonicalWays, MergesFollowABinaryCounter) {
  // Stack of subtree levels while 8 ways complete: it never holds more than log2(8) sums before the
  // merge, and one at the end.
  int stack = 0, most = 0;
  for (int way = 0; way < 8; ++way) {
    most = std::max(most, stack);
    stack += 1 - CanonicalWays::MergesAfter(way);
  }
  EXPECT_EQ(stack, 1);
  EXPECT_EQ(most, MakeCanonicalWays(16, 2, 1, 8).partial_sums());
}

TEST(CanonicalWays, RefusalsStateTheEquation) {
  EXPECT_THROW(MakeCanonicalWays(10, 4, 1, 0), core::ConfigError);
  EXPECT_THROW(MakeCanonicalWays(16, 1, 3, 0), core::ConfigError);
  EXPECT_THROW(MakeCanonicalWays(16, 1, 16, 0), core::ConfigError);
  EXPECT_NO_THROW(MakeCanonicalWays(16, 1, 16, 16));
  EXPECT_THROW(MakeCanonicalWays(16, 1, 1, 3), core::ConfigError);
  try {
    MakeCanonicalWays(12, 2, 4, 0);
    FAIL();
  } catch (const core::ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("ways / dp = 2 / 4"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace moat::parallel
