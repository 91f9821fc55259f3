// Matrix products on every device, against sums in f64. CUDA's are cuBLASLt's, which no test can
// emulate.
#include <cmath>

#include "core/rng.h"
#include "tensor/product_tuner.h"
#include "tests/gpu/on_device.h"
#include "tests/support/values.h"

namespace moat {
namespace {

using core::DType;
using tensor::Tensor;

class MatMulTest : public testing::OnDevice {
 protected:
  // Of results in `dtype` whose sums are f32.
  static double Tolerance(DType dtype) { return dtype == DType::kF32 ? 3e-6 : 4e-3; }
};
MOAT_ON_EVERY_DEVICE(MatMulTest);

struct Product {
  bool trans_a, trans_b;
  int64_t m, n, k;
};

const Product kProducts[] = {
    {false, true, 1, 1, 1},        {false, false, 1, 129, 17},    {true, false, 33, 65, 300},
    {false, true, 515, 259, 31},   {true, true, 13, 130, 64},     {true, false, 64, 64, 4096},
    {false, true, 256, 2304, 768}, {false, false, 77, 768, 3072}, {true, false, 768, 1000, 512},
};

struct ProductData {
  std::vector<float> a, b, start, bias;  // as the element type holds them
};

ProductData DataOf(const Product& p, DType dtype, DType c_dtype) {
  return {testing::As(dtype, testing::RandomValues("a", p.m * p.k)),
          testing::As(dtype, testing::RandomValues("b", p.k * p.n)),
          testing::As(c_dtype, testing::RandomValues("c", p.m * p.n)),
          testing::As(dtype, testing::RandomValues("bias", p.n))};
}

double At(const Product& p, const ProductData& data, int64_t i, int64_t j) {
  double sum = 0;
  for (int64_t k = 0; k < p.k; ++k) {
    const float a = data.a[static_cast<size_t>(p.trans_a ? k * p.m + i : i * p.k + k)];
    const float b = data.b[static_cast<size_t>(p.trans_b ? j * p.k + k : k * p.n + j)];
    sum += static_cast<double>(a) * static_cast<double>(b);
  }
  return sum;
}

enum class Ending { kPlain, kAccumulate, kBias };

// Up to 2,000 elements of c against sums in f64.
double ProductError(const Product& p, const ProductData& data, Ending ending,
                    const std::vector<float>& c) {
  std::vector<double> got, want;
  const int64_t samples = std::min<int64_t>(2000, p.m * p.n);
  for (int64_t s = 0; s < samples; ++s) {
    const int64_t at = samples == p.m * p.n
                           ? s
                           : static_cast<int64_t>(core::RandomUniform(5, static_cast<uint64_t>(s)) *
                                                  static_cast<float>(p.m * p.n - 1));
    double value = At(p, data, at / p.n, at % p.n);
    if (ending == Ending::kAccumulate) value += data.start[static_cast<size_t>(at)];
    if (ending == Ending::kBias) value += data.bias[static_cast<size_t>(at % p.n)];
    want.push_back(value);
    got.push_back(c[static_cast<size_t>(at)]);
  }
  return testing::RelativeError(got, want);
}

TEST_P(MatMulTest, IsRightInEveryLayoutTypeAndEndingWithTheSameBitsEachTime) {
  for (const DType dtype : dtypes()) {
    for (const DType c_dtype : {DType::kF32, DType::kBF16}) {
      if (dtype == DType::kF32 && c_dtype == DType::kBF16) continue;
      for (const Product& p : kProducts) {
        const ProductData data = DataOf(p, dtype, c_dtype);
        const Tensor a = Put(data.a, dtype), b = Put(data.b, dtype), bias = Put(data.bias, dtype);
        for (const Ending ending : {Ending::kPlain, Ending::kAccumulate, Ending::kBias}) {
          if (ending == Ending::kBias && dtype != c_dtype) continue;
          const auto compute = [&](tensor::Stream& on) {
            Tensor c = Put(data.start, c_dtype);
            tensor::MatMul(p.trans_a, p.trans_b, p.m, p.n, p.k, a.view(), b.view(),
                           ending == Ending::kBias ? bias.view() : tensor::ConstView{}, c.view(),
                           ending == Ending::kAccumulate, on);
            on.Synchronize();
            return Get(c);
          };
          const std::vector<float> c = compute(stream());
          EXPECT_LT(ProductError(p, data, ending, c), Tolerance(c_dtype))
              << core::Name(dtype) << " to " << core::Name(c_dtype) << " " << p.m << "x" << p.n
              << "x" << p.k << " ending " << static_cast<int>(ending);
          tensor::Stream another(device(), 0);
          EXPECT_TRUE(testing::SameBits(c, compute(another)));
        }
      }
    }
  }
}

// Slices of a flat buffer lie at any element; a plan made for aligned memory must not take them.
TEST_P(MatMulTest, TakesMemoryThatLiesAnywhere) {
  const Product p{false, true, 40, 48, 64};
  for (const DType dtype : dtypes()) {
    const ProductData data = DataOf(p, dtype, dtype);
    for (const int64_t offset : {0, 1, 2, 3, 4, 8}) {
      const auto shifted = [&](std::vector<float> values) {
        values.insert(values.begin(), static_cast<size_t>(offset), 100.0f);
        return Put(values, dtype);
      };
      const Tensor a = shifted(data.a), b = shifted(data.b);
      Tensor c = shifted(data.start);
      tensor::MatMul(p.trans_a, p.trans_b, p.m, p.n, p.k, a.view().Range(offset, p.m * p.k),
                     b.view().Range(offset, p.k * p.n), {}, c.view().Range(offset, p.m * p.n),
                     false, stream());
      std::vector<float> got = Get(c);
      got.erase(got.begin(), got.begin() + offset);
      EXPECT_LT(ProductError(p, data, Ending::kPlain, got), Tolerance(dtype)) << offset;
    }
  }
}

class CudaMatMulTest : public testing::OnDevice {};
MOAT_ON_CUDA(CudaMatMulTest);

// Too much for a CPU in a test.
TEST_P(CudaMatMulTest, LargeProductsAreRight) {
  for (const Product& p :
       {Product{false, true, 4096, 4096, 4096}, Product{true, false, 4097, 3071, 8190},
        Product{false, true, 2048, 50257, 768}}) {
    for (const DType dtype : dtypes()) {
      const ProductData data = DataOf(p, dtype, DType::kF32);
      const Tensor a = Put(data.a, dtype), b = Put(data.b, dtype);
      Tensor c = Put(data.start, DType::kF32);
      tensor::MatMul(p.trans_a, p.trans_b, p.m, p.n, p.k, a.view(), b.view(), {}, c.view(), true,
                     stream());
      EXPECT_LT(ProductError(p, data, Ending::kAccumulate, Get(c)), 1e-5)
          << core::Name(dtype) << " " << p.m << "x" << p.n << "x" << p.k;
    }
  }
}

// What rank 0 measures, its text, and what another rank or a resume makes of it.
TEST_P(CudaMatMulTest, MeasuredAlgorithmsAreTakenBackWithTheSameBits) {
  const Product p{false, true, 512, 3072, 768};
  for (const DType dtype : dtypes()) {
    const ProductData data = DataOf(p, dtype, dtype);
    const Tensor x = Put(data.a, dtype), weight = Put(data.b, dtype), bias = Put(data.bias, dtype);
    Tensor before = Put(data.start, dtype), y = Put(data.start, dtype), c = Put(data.start, dtype);
    const auto compute = [&](tensor::Stream& on) {
      tensor::LinearGelu(p.m, p.k, p.n, x.view(), weight.view(), bias.view(), before.view(),
                         y.view(), on);
      tensor::MatMul(p.trans_a, p.trans_b, p.m, p.n, p.k, x.view(), weight.view(), bias.view(),
                     c.view(), false, on);
      on.Synchronize();
      std::vector<float> all = Get(y), product = Get(c);
      all.insert(all.end(), product.begin(), product.end());
      return all;
    };
    tensor::Stream measured(device(), 0), other(device(), 0);
    tensor::TunerOf(measured)->Measure(true);
    compute(measured);
    tensor::TunerOf(measured)->Measure(false);
    const tensor::ProductChoices choices = tensor::TunerOf(measured)->choices();
    EXPECT_GE(choices.algorithms.size(), 2u);
    tensor::TunerOf(other)->Use(
        tensor::ParseProductChoices(Format(choices), "what another stream measured"));
    const std::vector<float> want = compute(measured);
    EXPECT_TRUE(testing::SameBits(want, compute(other)));
    EXPECT_EQ(tensor::TunerOf(other)->choices().made_for, choices.made_for);
    const std::vector<float> product(want.end() - p.m * p.n, want.end());
    EXPECT_LT(ProductError(p, data, Ending::kBias, product), dtype == DType::kF32 ? 3e-6 : 4e-3);
  }
}

}  // namespace
}  // namespace moat
