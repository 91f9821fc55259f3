// The vectorisable exponential and reductions.
#include "tensor/cpu/vector_math.h"

#include <gtest/gtest.h>

#include <cmath>

namespace moat::tensor::cpu {
namespace {

TEST(Exp, AgreesWithTheLibraryToTwoUlp) {
  for (double x = -87; x < 88; x += 0.00137) {
    const auto f = static_cast<float>(x);
    const double want = std::exp(static_cast<double>(f));
    ASSERT_NEAR(static_cast<double>(Exp(f)) / want, 1.0, 3e-7) << x;
  }
  EXPECT_EQ(Exp(0.0f), 1.0f);
  EXPECT_LT(Exp(-1000.0f), 1e-37f);
  EXPECT_GT(Exp(1000.0f), 1e38f);
}

TEST(Store, RoundsEveryBitPatternAsBFloat16Does) {
  for (uint64_t u = 0; u < uint64_t{1} << 32; u += 0x1001) {
    const auto value = std::bit_cast<float>(static_cast<uint32_t>(u));
    core::BFloat16 stored;
    Store(&stored, value);
    ASSERT_EQ(stored.bits, core::BFloat16(value).bits) << u;
  }
}

TEST(LaneSum, CountsEveryElementOnce) {
  for (int64_t n = 0; n < 70; ++n) {
    EXPECT_EQ(LaneSum(n, [](int64_t i) { return static_cast<float>(i + 1); }),
              static_cast<float>(n * (n + 1) / 2));
  }
  EXPECT_EQ(LaneMax(33, -1.0f, [](int64_t i) { return i == 32 ? 9.0f : 1.0f; }), 9.0f);
  EXPECT_EQ(LaneMax(33, -1.0f, [](int64_t i) { return i == 3 ? 9.0f : 1.0f; }), 9.0f);
}

}  // namespace
}  // namespace moat::tensor::cpu
