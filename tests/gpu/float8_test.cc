// FP8 on every device: scales and codes have the CPU's bits, products are those of what codes stand
// for. CUDA's products are cuBLASLt's; the emulator has its own.
#include "core/float8.h"

#include <cmath>

#include "tests/gpu/on_device.h"
#include "tests/support/values.h"

namespace moat {
namespace {

using core::DType;
using tensor::Tensor;
using testing::kEmulated;

class Float8Test : public testing::OnDevice {
 protected:
  void SetUp() override {
    OnDevice::SetUp();
    if (IsSkipped()) return;
    try {
      tensor::CheckFloat8(stream());
    } catch (const core::ConfigError& error) {
      GTEST_SKIP() << error.what();
    }
  }
};
MOAT_ON_EVERY_DEVICE(Float8Test);

std::vector<uint8_t> Codes(const Tensor& there, tensor::Stream& stream) {
  std::vector<uint8_t> codes(static_cast<size_t>(there.count()));
  tensor::Copy(there.view(), {codes.data(), there.count(), there.dtype(), core::DeviceKind::kCpu},
               stream);
  stream.Synchronize();
  return codes;
}

// A tensor in FP8, in both layouts.
struct Coded {
  Coded(DType format, int64_t rows, int64_t columns, tensor::ConstView x, tensor::Stream& stream)
      : values(rows * columns, format, stream.device()),
        transposed(rows * columns, format, stream.device()),
        plain(rows * columns, format, stream.device()),
        scale(1, DType::kF32, stream.device()) {
    tensor::ScaleFor(format, x, scale.view(), stream);
    tensor::Quantize(rows, columns, x, scale.view(), values.view(), transposed.view(), stream);
    tensor::Quantize(rows, columns, x, scale.view(), plain.view(), {}, stream);
  }
  tensor::ScaledView view() const { return {values.view(), scale.view()}; }

  Tensor values, transposed, plain, scale;
};

TEST_P(Float8Test, ScalesAndCodesHaveTheCpusBitsInBothLayouts) {
  for (const DType dtype : dtypes()) {
    for (const DType format : {DType::kE4M3, DType::kE5M2}) {
      for (const auto& [rows, columns] :
           {std::pair<int64_t, int64_t>{16, 16}, {80, 208}, {64, 64}, {144, 48}}) {
        for (const float bad : {0.0f, NAN, INFINITY}) {
          std::vector<float> numbers = testing::RandomValues("x", rows * columns, 7);
          numbers[100] = 1e-6f;  // below what the format has under this scale
          numbers[200] = bad;
          tensor::Stream cpu;
          const Tensor here = testing::Put(numbers, dtype, core::DeviceKind::kCpu, cpu);
          const Tensor there = Put(numbers, dtype);
          const Coded want(format, rows, columns, here.view(), cpu);
          const Coded got(format, rows, columns, there.view(), stream());
          const float scale = Get(got.scale)[0];
          const auto all = Codes(got.values, stream()), wanted = Codes(want.values, cpu);
          if (bad != 0.0f) {
            EXPECT_TRUE(std::isnan(scale));
            for (const uint8_t code : all) {
              EXPECT_TRUE(std::isnan(core::DecodeFloat8(code, core::Float8FormatOf(format))));
            }
            continue;
          }
          EXPECT_EQ(scale, *want.scale.view().as<float>());
          EXPECT_EQ(all, wanted) << rows << " x " << columns;
          EXPECT_EQ(Codes(got.plain, stream()), wanted);
          EXPECT_EQ(Codes(got.transposed, stream()), Codes(want.transposed, cpu));
        }
      }
    }
  }
}

TEST_P(Float8Test, ScalesOfManyBlocksFindTheLargestAnywhere) {
  const int64_t count = kEmulated ? 1 << 16 : (1 << 23) + 16;
  for (const int64_t at : {int64_t{0}, count / 3, count - 1}) {
    std::vector<float> numbers(static_cast<size_t>(count), 0.25f);
    numbers[static_cast<size_t>(at)] = -900.0f;
    const Tensor x = Put(numbers, DType::kBF16);
    Tensor scale(1, DType::kF32, device());
    tensor::ScaleFor(DType::kE4M3, x.view(), scale.view(), stream());
    EXPECT_EQ(Get(scale)[0], 4.0f) << at;
  }
}

// As a layer makes them: forward, down to the input, and of the weight, added to.
TEST_P(Float8Test, ProductsAreThoseOfWhatCodesStandForWithTheSameBitsEachTime) {
  const int64_t m = kEmulated ? 48 : 528, n = kEmulated ? 32 : 1040, k = kEmulated ? 80 : 784;
  for (const DType format : {DType::kE4M3, DType::kE5M2}) {
    const Tensor x = Put(testing::RandomValues("a", m * k, 1e-4f), DType::kBF16);
    const Tensor w = Put(testing::RandomValues("b", n * k, 3), DType::kBF16);
    const Tensor bias = Put(testing::RandomValues("bias", n), DType::kBF16);
    const Coded a(format, m, k, x.view(), stream()), b(DType::kE4M3, n, k, w.view(), stream());
    const auto numbers = [&](const Coded& of) {
      std::vector<float> all;
      const float scale = Get(of.scale)[0];
      for (const uint8_t code : Codes(of.values, stream())) {
        all.push_back(core::DecodeFloat8(code, core::Float8FormatOf(of.values.dtype())) * scale);
      }
      return all;
    };
    const std::vector<float> left = numbers(a), right = numbers(b), biases = Get(bias);
    for (const DType result : {DType::kF32, DType::kBF16}) {
      const std::vector<float> start =
          testing::As(result, testing::RandomValues("c", m * n, 1e-2f));
      for (const int ending : {0, 1, 2}) {  // plain, bias, added to
        const auto compute = [&](tensor::Stream& on) {
          Tensor c = Put(start, result);
          tensor::ScaledMatMul(m, n, k, a.view(), b.view(),
                               ending == 1 ? bias.view() : tensor::ConstView{}, c.view(),
                               ending == 2, on);
          on.Synchronize();
          return Get(c);
        };
        const std::vector<float> c = compute(stream());
        std::vector<double> got, want;
        for (int64_t at = 0; at < m * n; at += 37) {
          double sum = ending == 0   ? 0.0
                       : ending == 1 ? static_cast<double>(biases[static_cast<size_t>(at % n)])
                                     : static_cast<double>(start[static_cast<size_t>(at)]);
          for (int64_t l = 0; l < k; ++l) {
            sum += static_cast<double>(left[static_cast<size_t>(at / n * k + l)]) *
                   static_cast<double>(right[static_cast<size_t>(at % n * k + l)]);
          }
          want.push_back(sum);
          got.push_back(static_cast<double>(c[static_cast<size_t>(at)]));
        }
        // Hopper's tensor cores keep fewer bits than f32 between promotions.
        EXPECT_LT(testing::RelativeError(got, want), result == DType::kF32 ? 5e-4 : 4e-3)
            << Name(format) << " to " << Name(result) << " ending " << ending;
        tensor::Stream another(device(), 0);
        EXPECT_TRUE(testing::SameBits(c, compute(another)));
      }
    }
  }
}

}  // namespace
}  // namespace moat
