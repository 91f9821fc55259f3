// FP8: every code, every rounding, against the formats' definition in f64.
#include "core/float8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace moat::core {
namespace {

struct Case {
  DType dtype;
  int exponent_bits;
  double largest;
  bool infinities;
};
const Case kCases[] = {{DType::kE4M3, 4, 448, false}, {DType::kE5M2, 5, 57344, true}};

// By the definition: (-1)^s 2^(e - bias) (1 + m / 2^M), subnormal where e = 0.
double Value(const Case& of, int code) {
  const int mantissa_bits = 7 - of.exponent_bits, bias = (1 << (of.exponent_bits - 1)) - 1;
  const int exponent = code >> mantissa_bits & ((1 << of.exponent_bits) - 1);
  const int mantissa = code & ((1 << mantissa_bits) - 1);
  const double part = mantissa / std::exp2(mantissa_bits);
  const double sign = code >= 128 ? -1 : 1;
  const bool highest = exponent == (1 << of.exponent_bits) - 1;
  if (of.infinities && highest) return mantissa == 0 ? sign * INFINITY : NAN;
  if (!of.infinities && highest && mantissa == (1 << mantissa_bits) - 1) return NAN;
  return sign *
         (exponent == 0 ? part * std::exp2(1 - bias) : (1 + part) * std::exp2(exponent - bias));
}

class Float8Test : public ::testing::TestWithParam<Case> {
 protected:
  const Float8Format& format() const { return Float8FormatOf(GetParam().dtype); }
  uint8_t Encode(double value) const { return EncodeFloat8(static_cast<float>(value), format()); }
};
INSTANTIATE_TEST_SUITE_P(Formats, Float8Test, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(Name(info.param.dtype)); });

TEST_P(Float8Test, EveryCodeIsItsNumberAndComesBack) {
  for (int code = 0; code < 256; ++code) {
    const double want = Value(GetParam(), code);
    const float got = DecodeFloat8(static_cast<uint8_t>(code), format());
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(got)) << code;
      continue;
    }
    EXPECT_EQ(static_cast<double>(got), want) << code;
    EXPECT_EQ(std::signbit(got), code >= 128) << code;
    if (!std::isinf(want)) {
      EXPECT_EQ(Encode(want), code);
    }
    // bf16 holds it exactly: products of such copies are FP8's.
    EXPECT_EQ(static_cast<float>(BFloat16(got)), got) << code;
  }
}

// Between two neighbours the nearer one, at the middle the even one.
TEST_P(Float8Test, RoundsToTheNearestAndTiesToEven) {
  for (int code = 0; Value(GetParam(), code + 1) <= GetParam().largest; ++code) {
    const double low = Value(GetParam(), code), high = Value(GetParam(), code + 1);
    const auto middle = static_cast<float>((low + high) / 2);
    EXPECT_EQ(Encode(static_cast<double>(middle)), code % 2 == 0 ? code : code + 1);
    const double below = static_cast<double>(std::nextafter(middle, 0.0f));
    const double above = static_cast<double>(std::nextafter(middle, INFINITY));
    EXPECT_EQ(Encode(below), code);
    EXPECT_EQ(Encode(above), code + 1);
    EXPECT_EQ(Encode(-below), code + 128);
    EXPECT_EQ(Encode(-above), code + 129);
  }
}

TEST_P(Float8Test, WhatIsTooLargeBecomesTheLargestAndNanStays) {
  const uint32_t largest = format().largest;
  for (const double value :
       {GetParam().largest * 1.03, GetParam().largest * 1.5, 1e30, static_cast<double>(INFINITY)}) {
    EXPECT_EQ(Encode(value), largest) << value;
    EXPECT_EQ(Encode(-value), largest + 128) << value;
  }
  EXPECT_TRUE(std::isnan(DecodeFloat8(Encode(NAN), format())));
  EXPECT_EQ(Encode(1e-30), 0);
  EXPECT_EQ(Encode(std::numeric_limits<double>::denorm_min()), 0);
}

// Any magnitude fits under its scale, and would not under half of it.
TEST_P(Float8Test, TheScaleIsTheSmallestPowerOfTwoThatFits) {
  const auto scale = [&](float magnitude) {
    return static_cast<double>(
        Float8Scale(std::bit_cast<uint32_t>(magnitude), format().largest_exponent));
  };
  const auto largest = static_cast<float>(GetParam().largest);
  EXPECT_EQ(scale(largest), 1);
  EXPECT_EQ(scale(std::nextafter(largest, INFINITY)), 2);
  EXPECT_EQ(scale(largest / 2), 0.5);
  for (float magnitude = 1e-25f; magnitude < 1e30f; magnitude *= 1.37f) {
    const double s = scale(magnitude);
    int exponent = 0;
    EXPECT_EQ(std::frexp(s, &exponent), 0.5) << "a power of two";
    EXPECT_LE(static_cast<double>(magnitude) / s, GetParam().largest) << magnitude;
    EXPECT_GT(static_cast<double>(magnitude) / s, GetParam().largest / 2) << magnitude;
  }
  EXPECT_EQ(scale(0), 1);
  EXPECT_EQ(scale(std::numeric_limits<float>::denorm_min()), std::exp2(-120));
  EXPECT_LE(scale(std::numeric_limits<float>::max()), std::exp2(120));
  EXPECT_TRUE(std::isnan(scale(INFINITY)));
  EXPECT_TRUE(std::isnan(scale(NAN)));
}

}  // namespace
}  // namespace moat::core
