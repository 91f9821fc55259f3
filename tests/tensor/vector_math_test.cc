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

TEST(Exp, HasTheSameBitsInVectors) {
  for (float x = -100; x < 100; x += 0.37f) {
    Lanes values;
    for (int l = 0; l < kLanes; ++l) values[l] = x * static_cast<float>(l + 1);
    const Lanes got = Exp(values);
    for (int l = 0; l < kLanes; ++l) ASSERT_EQ(got[l], Exp(static_cast<float>(values[l])));
  }
}

TEST(ForEach, RoundsEveryBitPatternAsBFloat16Does) {
  std::vector<float> x;
  for (uint64_t u = 0; u < uint64_t{1} << 32; u += 0x1001) {
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(u)));
  }
  std::vector<core::BFloat16> rounded(x.size());
  ForEach<core::BFloat16>(static_cast<int64_t>(x.size()),
                          [&](auto at) { at.Store(rounded.data(), at(x.data())); });
  for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(rounded[i].bits, core::BFloat16(x[i]).bits);
}

TEST(ForEach, VisitsEveryElementOnceWhateverTheLength) {
  for (const int64_t n : {0, 1, 31, 32, 33, 513}) {
    std::vector<core::BFloat16> y(static_cast<size_t>(n) + 1, core::BFloat16(3.0f));
    ForEach<core::BFloat16>(n, [&](auto at) { at.Store(y.data(), at(y.data()) + 1.0f); });
    for (int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(static_cast<float>(y[static_cast<size_t>(i)]), 4.0f) << n;
    }
    EXPECT_EQ(static_cast<float>(y.back()), 3.0f);
  }
}

TEST(ForEach, KeepsTheOrderOfF32BesideBf16) {
  std::vector<float> x(64), y(64);
  std::vector<core::BFloat16> rounded(64);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  ForEach<core::BFloat16>(64, [&](auto at) { at.Store(rounded.data(), at(x.data())); });
  ForEach<core::BFloat16>(64, [&](auto at) { at.Store(y.data(), at(rounded.data()) * 2.0f); });
  for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(y[i], 2 * x[i]);
}

TEST(LaneSum, CountsEveryElementOnceAndTheSameInEveryType) {
  std::vector<float> x;
  std::vector<core::BFloat16> rounded;
  for (int64_t n = 0; n < 70; ++n) {
    const auto sum = [](const auto* p) { return [p](auto at) MOAT_TERM { return at(p); }; };
    const auto want = static_cast<float>(n * (n + 1) / 2);
    EXPECT_EQ(LaneSum<float>(n, sum(x.data())), want);
    EXPECT_EQ(LaneSum<core::BFloat16>(n, sum(x.data())), want);
    EXPECT_EQ(LaneSum<core::BFloat16>(n, sum(rounded.data())), want);
    x.push_back(static_cast<float>(n + 1));
    rounded.push_back(core::BFloat16(static_cast<float>(n + 1)));
  }
}

TEST(LaneMax, FindsTheLargestWherever) {
  for (const size_t place : {0, 3, 32}) {
    std::vector<float> x(33, 1.0f);
    x[place] = 9.0f;
    EXPECT_EQ(LaneMax(33, -1.0f, x.data()), 9.0f);
  }
  EXPECT_EQ(LaneMax(0, -1.0f, nullptr), -1.0f);
}

}  // namespace
}  // namespace moat::tensor::cpu
