// Counter-based random numbers: pure functions of their counters.
#include "core/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace moat::core {
namespace {

TEST(Rng, PhiloxMatchesTheAuthorsKnownAnswers) {  // Random123's kat_vectors, philox4x32-10
  const std::array<uint32_t, 4> zero = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}), zero);
  const std::array<uint32_t, 4> ones = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
  const uint32_t f = 0xffffffff;
  EXPECT_EQ(Philox4x32({f, f, f, f}, {f, f}), ones);
}

TEST(Rng, UniformAndNormalHaveTheirMoments) {
  const uint64_t key = KeyFromName(7, "moments");
  double uniform = 0, normal = 0, square = 0;
  const int n = 200000;
  for (int i = 0; i < n; ++i) {
    const double u = RandomUniform(key, i);
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    uniform += u;
    const double z = RandomNormal(key, i);
    normal += z;
    square += z * z;
  }
  EXPECT_NEAR(uniform / n, 0.5, 0.005);
  EXPECT_NEAR(normal / n, 0, 0.01);
  EXPECT_NEAR(square / n, 1, 0.02);
}

TEST(Rng, KeysDependOnSeedAndName) {
  EXPECT_NE(KeyFromName(1, "a"), KeyFromName(2, "a"));
  EXPECT_NE(KeyFromName(1, "a"), KeyFromName(1, "b"));
}

TEST(Permute, IsAPermutationForEverySize) {
  for (const uint64_t size : {1ull, 2ull, 3ull, 5ull, 64ull, 65ull, 1000ull}) {
    std::set<uint64_t> seen;
    for (uint64_t i = 0; i < size; ++i) {
      const uint64_t value = Permute(42, size, i);
      ASSERT_LT(value, size);
      seen.insert(value);
    }
    EXPECT_EQ(seen.size(), size);
  }
}

TEST(Permute, DiffersByKey) {
  int same = 0;
  for (uint64_t i = 0; i < 1000; ++i) same += Permute(1, 1000, i) == Permute(2, 1000, i);
  EXPECT_LT(same, 20);
}

}  // namespace
}  // namespace moat::core
