// What the processor is said to lack, and products without it.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tensor/cpu/parallel_for.h"
#include "tensor/cpu/product.h"
#include "tensor/cpu_features.h"
#include "tests/tensor/stored_values.h"

namespace moat::tensor {
namespace {

TEST(MissingInstructions, NothingForF32AndNamedForBf16) {
  EXPECT_EQ(MissingInstructions(core::DType::kF32), "");
  // A processor without them, as oneDNN is told: its limit is read once, so in a fresh process.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        setenv("DNNL_MAX_CPU_ISA", "AVX2", 1);
        const std::string missing = MissingInstructions(core::DType::kBF16);
        std::exit(missing == "avx512_bf16 or amx_bf16" ? 17 : 1);
      },
      ::testing::ExitedWithCode(17), "");
}

TEST(WidenedProduct, EqualsTheNativeOneOnSmallIntegers) {
  const int64_t m = 21, n = 19, k = 33;
  std::vector<float> a, b, bias;
  for (int64_t i = 0; i < m * k; ++i) a.push_back(static_cast<float>(i * 7 % 5 - 2));
  for (int64_t i = 0; i < k * n; ++i) b.push_back(static_cast<float>(i * 5 % 3 - 1));
  for (int64_t i = 0; i < n; ++i) bias.push_back(static_cast<float>(i % 7));
  const Stored as(core::DType::kBF16, a), bs(core::DType::kBF16, b),
      biases(core::DType::kBF16, bias);
  const auto* pa = as.view().as<core::BFloat16>();
  const auto* pb = bs.view().as<core::BFloat16>();
  const auto* pbias = biases.view().as<core::BFloat16>();
  for (const auto result : {core::DType::kF32, core::DType::kBF16}) {
    for (const bool accumulate : {false, true}) {
      for (const bool transposed : {false, true}) {
        const cpu::ProductShape shape{m,
                                      n,
                                      k,
                                      transposed ? 1 : k,
                                      transposed ? m : 1,
                                      transposed ? 1 : n,
                                      transposed ? k : 1,
                                      n,
                                      result == core::DType::kF32,
                                      accumulate,
                                      !accumulate};
        const std::vector<float> start(static_cast<size_t>(m * n), 3.0f);
        Stored widened(result, start), native(result, start);
        const cpu::OneThread alone;
        cpu::WidenedProduct(shape, pa, pb, accumulate ? nullptr : pbias, widened.view().data);
        cpu::Product(shape, pa, pb, accumulate ? nullptr : pbias, native.view().data);
        EXPECT_TRUE(testing::SameBits(widened.floats(), native.floats()));
      }
    }
  }
}

}  // namespace
}  // namespace moat::tensor
