// FP8: scales, codes and products by their definition, bitwise for any threads.
#include "core/float8.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "tensor/ops.h"
#include "tests/tensor/stored_values.h"

namespace moat::tensor {
namespace {

using core::DType;

std::vector<float> NumbersOf(const Tensor& codes, float scale) {
  const auto* bytes = static_cast<const uint8_t*>(codes.view().data);
  std::vector<float> numbers;
  for (int64_t i = 0; i < codes.count(); ++i) {
    numbers.push_back(core::DecodeFloat8(bytes[i], core::Float8FormatOf(codes.dtype())) * scale);
  }
  return numbers;
}

// The number of the format that is nearest to `value`; of two, the one with the even code.
float Nearest(float value, DType format, float scale) {
  float best = NAN;
  bool even = false;
  for (int code = 0; code < 256; ++code) {
    const float number =
        core::DecodeFloat8(static_cast<uint8_t>(code), core::Float8FormatOf(format)) * scale;
    if (!std::isfinite(number)) continue;
    const float distance = std::abs(number - value), least = std::abs(best - value);
    if (std::isnan(best) || distance < least || (distance == least && code % 2 == 0 && !even)) {
      best = number;
      even = code % 2 == 0;
    }
  }
  return best;
}

struct Shape {
  int64_t rows, columns;
};
const Shape kShapes[] = {{16, 16}, {48, 80}, {64, 144}, {208, 32}};

class Float8Test : public DTypeTest {};
MOAT_EVERY_DTYPE(Float8Test);

TEST_P(Float8Test, CodesAreTheNearestInBothLayoutsForAnyThreads) {
  for (const DType format : {DType::kE4M3, DType::kE5M2}) {
    for (const auto& [rows, columns] : kShapes) {
      const Stored x = RandomStored(dtype, "x", rows * columns, 3);
      testing::SameForAnyThreads([&, rows = rows, columns = columns](int threads) {
        Stream stream(threads);
        Tensor codes(rows * columns, format), transposed(rows * columns, format);
        Tensor scale(1, DType::kF32);
        ScaleFor(format, x.view(), scale.view(), stream);
        Quantize(rows, columns, x.view(), scale.view(), codes.view(), transposed.view(), stream);
        const float s = *scale.view().as<float>();
        std::vector<float> got = NumbersOf(codes, s);
        const std::vector<float> across = NumbersOf(transposed, s);
        const std::vector<float> values = x.floats();
        for (int64_t i = 0; i < rows * columns; ++i) {
          const auto at = static_cast<size_t>(i);
          EXPECT_EQ(got[at], Nearest(values[at], format, s));
          EXPECT_EQ(across[static_cast<size_t>(i % columns * rows + i / columns)], got[at]);
        }
        return got;
      });
    }
  }
}

TEST_P(Float8Test, OnlyOneLayoutIsWrittenWhereOneIsAskedFor) {
  Stream stream;
  const Stored x = RandomStored(dtype, "x", 32 * 48);
  Tensor both(32 * 48, DType::kE4M3), across(32 * 48, DType::kE4M3);
  Tensor one(32 * 48, DType::kE4M3), other(32 * 48, DType::kE4M3), scale(1, DType::kF32);
  ScaleFor(DType::kE4M3, x.view(), scale.view(), stream);
  Quantize(32, 48, x.view(), scale.view(), both.view(), across.view(), stream);
  Quantize(32, 48, x.view(), scale.view(), one.view(), {}, stream);
  Quantize(32, 48, x.view(), scale.view(), {}, other.view(), stream);
  EXPECT_EQ(NumbersOf(one, 1), NumbersOf(both, 1));
  EXPECT_EQ(NumbersOf(other, 1), NumbersOf(across, 1));
}

TEST_P(Float8Test, ABadNumberMakesAllCodesNan) {
  Stream stream;
  for (const float bad : {NAN, -INFINITY}) {
    std::vector<float> values = testing::RandomValues("x", 256);
    values[200] = bad;
    const Stored x(dtype, values);
    Tensor codes(256, DType::kE5M2), scale(1, DType::kF32);
    ScaleFor(DType::kE5M2, x.view(), scale.view(), stream);
    EXPECT_TRUE(std::isnan(*scale.view().as<float>()));
    Quantize(16, 16, x.view(), scale.view(), codes.view(), {}, stream);
    for (const float number : NumbersOf(codes, 1)) EXPECT_TRUE(std::isnan(number));
  }
}

TEST_P(Float8Test, ZerosHaveTheScaleOne) {
  Stream stream;
  const Stored x(dtype, std::vector<float>(256, 0.0f));
  Tensor scale(1, DType::kF32);
  ScaleFor(DType::kE4M3, x.view(), scale.view(), stream);
  EXPECT_EQ(*scale.view().as<float>(), 1.0f);
}

struct Operand {
  Operand(DType format, const std::string& name, int64_t rows, int64_t columns, float range)
      : codes(rows * columns, format), scale(1, DType::kF32) {
    Stream stream;
    const Stored x = RandomStored(DType::kBF16, name, rows * columns, range);
    ScaleFor(format, x.view(), scale.view(), stream);
    Quantize(rows, columns, x.view(), scale.view(), codes.view(), {}, stream);
    numbers = NumbersOf(codes, *scale.view().as<float>());
  }
  ScaledView view() const { return {codes.view(), scale.view()}; }

  Tensor codes, scale;
  std::vector<float> numbers;
};

TEST(ScaledMatMul, IsTheProductOfWhatCodesStandFor) {
  constexpr int64_t kM = 80, kN = 48, kK = 112;
  for (const DType format : {DType::kE4M3, DType::kE5M2}) {
    const Operand a(format, "a", kM, kK, 5e-4f), b(DType::kE4M3, "b", kN, kK, 30);
    const Stored bias = RandomStored(DType::kBF16, "bias", kN);
    for (const DType result : {DType::kF32, DType::kBF16}) {
      const Stored start = RandomStored(result, "start", kM * kN);
      for (const int ending : {0, 1, 2}) {  // plain, bias, accumulate
        std::vector<double> want;
        for (int64_t i = 0; i < kM * kN; ++i) {
          double sum = ending == 2 ? static_cast<double>(start.floats()[static_cast<size_t>(i)])
                       : ending == 1
                           ? static_cast<double>(bias.floats()[static_cast<size_t>(i % kN)])
                           : 0.0;
          for (int64_t k = 0; k < kK; ++k) {
            sum += static_cast<double>(a.numbers[static_cast<size_t>(i / kN * kK + k)]) *
                   static_cast<double>(b.numbers[static_cast<size_t>(i % kN * kK + k)]);
          }
          want.push_back(sum);
        }
        const auto got = testing::SameForAnyThreads([&](int threads) {
          Stream stream(threads);
          Stored c(result, start.floats());
          ScaledMatMul(kM, kN, kK, a.view(), b.view(), ending == 1 ? bias.view() : ConstView{},
                       c.view(), ending == 2, stream);
          return c.floats();
        });
        EXPECT_LT(testing::RelativeError(got, want), result == DType::kF32 ? 1e-6 : 2.5e-3)
            << Name(format) << " " << Name(result) << " " << ending;
      }
    }
  }
}

TEST(ScaledMatMul, RefusesWhatADeviceCouldNotTake) {
  Stream stream;
  const Operand a(DType::kE4M3, "a", 32, 32, 1);
  Tensor c(32 * 32, DType::kF32), x(33 * 32, DType::kBF16), scale(1, DType::kF32);
  EXPECT_THROW(ScaledMatMul(32, 8, 32, a.view(), {a.codes.view().Range(0, 256), a.scale.view()}, {},
                            c.view().Range(0, 256), false, stream),
               core::BugError);
  EXPECT_THROW(ScaleFor(DType::kE4M3, x.view().Range(1, 256), scale.view(), stream),
               core::BugError);
  EXPECT_THROW(ScaleFor(DType::kBF16, x.view(), scale.view(), stream), core::BugError);
  const Operand gradient(DType::kE5M2, "a", 32, 32, 1);
  EXPECT_THROW(ScaledMatMul(32, 32, 32, a.view(), gradient.view(), {}, c.view(), false, stream),
               core::BugError);
}

}  // namespace
}  // namespace moat::tensor
