// The vectorisable exponential and reductions.
#include "tensor/cpu/vector_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

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

TEST(Round, RoundsEveryBitPatternAsBFloat16Does) {
  std::vector<float> x;
  for (uint64_t u = 0; u < uint64_t{1} << 32; u += 0x1001) {
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(u)));
  }
  std::vector<core::BFloat16> rounded(x.size());
  Round(x.data(), rounded.data(), static_cast<int64_t>(x.size()));
  for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(rounded[i].bits, core::BFloat16(x[i]).bits);
}

TEST(StoreRow, WritesEveryElementOnceWhateverTheLength) {
  for (const int64_t n : {0, 1, 15, 17, 511, 512, 513, 1030}) {
    std::vector<core::BFloat16> y(static_cast<size_t>(n) + 1, core::BFloat16(-7.0f));
    StoreRow(y.data(), n, [](int64_t i) { return static_cast<float>(i % 100); });
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(static_cast<float>(y[static_cast<size_t>(i)]), static_cast<float>(i % 100));
    }
    EXPECT_EQ(static_cast<float>(y.back()), -7.0f);
  }
}

TEST(LaneSum, CountsEveryElementOnce) {
  for (int64_t n = 0; n < 70; ++n) {
    const int64_t sum = n * (n + 1) / 2;
    EXPECT_EQ(LaneSum(n, [](int64_t i) { return static_cast<float>(i + 1); }),
              static_cast<float>(sum));
  }
  EXPECT_EQ(LaneMax(33, -1.0f, [](int64_t i) { return i == 32 ? 9.0f : 1.0f; }), 9.0f);
  EXPECT_EQ(LaneMax(33, -1.0f, [](int64_t i) { return i == 3 ? 9.0f : 1.0f; }), 9.0f);
}

}  // namespace
}  // namespace moat::tensor::cpu
