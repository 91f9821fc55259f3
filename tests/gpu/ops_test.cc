// The ops that CUDA has, on every device, against their definitions in f64.
#include <cmath>

#include "core/error.h"
#include "core/rng.h"
#include "tests/gpu/on_device.h"
#include "tests/support/values.h"

namespace moat {
namespace {

using core::DType;
using tensor::HostView;
using tensor::Tensor;

class OpsTest : public testing::OnDevice {
 protected:
  // Of results in `dtype` whose sums are f32.
  static double Tolerance(DType dtype) { return dtype == DType::kF32 ? 3e-6 : 4e-3; }
};
MOAT_ON_EVERY_DEVICE(OpsTest);

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
  const auto as = [](DType type, std::vector<float> values) {
    if (type == DType::kBF16) {
      for (float& value : values) value = static_cast<float>(core::BFloat16(value));
    }
    return values;
  };
  return {as(dtype, testing::RandomValues("a", p.m * p.k)),
          as(dtype, testing::RandomValues("b", p.k * p.n)),
          as(c_dtype, testing::RandomValues("c", p.m * p.n)),
          as(dtype, testing::RandomValues("bias", p.n))};
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

TEST_P(OpsTest, MatMulIsRightInEveryLayoutTypeAndEndingWithTheSameBitsEachTime) {
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
TEST_P(OpsTest, MatMulTakesMemoryThatLiesAnywhere) {
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

struct NormData {
  int64_t rows, width;
  std::vector<float> x, weight, dy;  // as the element type holds them
};

struct NormResult {
  std::vector<float> y, inverse, dx, dweight;
};

struct NormReference {
  std::vector<double> y, inverse, dx, dweight;
};

// From the definition, in f64: with n = x / rms, dweight = sum over rows of dy n, and
// dx = (g - n mean(g n)) / rms for g = dy weight.
NormReference Reference(const NormData& d, double epsilon) {
  NormReference r;
  r.dweight.resize(static_cast<size_t>(d.width));
  const auto at = [&](const std::vector<float>& values, int64_t i) {
    return static_cast<double>(values[static_cast<size_t>(i)]);
  };
  for (int64_t row = 0; row < d.rows; ++row) {
    const int64_t first = row * d.width;
    double squares = 0, dot = 0;
    for (int64_t i = 0; i < d.width; ++i) squares += at(d.x, first + i) * at(d.x, first + i);
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(d.width) + epsilon);
    r.inverse.push_back(inverse);
    for (int64_t i = 0; i < d.width; ++i) {
      dot += at(d.dy, first + i) * at(d.weight, i) * at(d.x, first + i) * inverse;
    }
    for (int64_t i = 0; i < d.width; ++i) {
      const double n = at(d.x, first + i) * inverse, dy = at(d.dy, first + i);
      r.y.push_back(n * at(d.weight, i));
      r.dweight[static_cast<size_t>(i)] += dy * n;
      r.dx.push_back((dy * at(d.weight, i) - n * dot / static_cast<double>(d.width)) * inverse);
    }
  }
  return r;
}

class NormTest : public OpsTest {
 protected:
  // dx takes the place of dy. With `times` > 1 the weight's gradient adds up.
  NormResult Compute(const NormData& d, DType dtype, int times) {
    const int64_t n = d.rows * d.width;
    const Tensor x = Put(d.x, dtype), weight = Put(d.weight, dtype);
    Tensor y(n, dtype, device()), inverse(d.rows, DType::kF32, device());
    Tensor dweight(d.width, DType::kF32, device()), dx;
    tensor::RmsNorm(x.view(), weight.view(), y.view(), inverse.view(), 1e-5, stream());
    for (int time = 0; time < times; ++time) {
      dx = Put(d.dy, dtype);
      tensor::RmsNormGrad(x.view(), weight.view(), std::as_const(inverse).view(),
                          std::as_const(dx).view(), dx.view(), dweight.view(), time > 0, stream());
    }
    return {Get(y), Get(inverse), Get(dx), Get(dweight)};
  }
};
MOAT_ON_EVERY_DEVICE(NormTest);

TEST_P(NormTest, EqualsItsDefinitionWithTheSameBitsEachTime) {
  const std::pair<int64_t, int64_t> shapes[] = {{1, 1}, {3, 7}, {33, 257}, {1000, 768}, {9001, 65}};
  for (const DType dtype : dtypes()) {
    for (const auto& [rows, width] : shapes) {
      const NormData data{rows, width, As(dtype, testing::RandomValues("x", rows * width, 3)),
                          As(dtype, testing::RandomValues("w", width)),
                          As(dtype, testing::RandomValues("dy", rows * width))};
      NormReference want = Reference(data, 1e-5);
      const std::string where =
          std::string(core::Name(dtype)) + " " + std::to_string(rows) + "x" + std::to_string(width);
      for (const int times : {1, 2}) {
        const NormResult got = Compute(data, dtype, times);
        EXPECT_LT(testing::RelativeError(got.y, want.y), Tolerance(dtype)) << where;
        // One element alone has a gradient of almost nothing, by subtraction.
        const double dx_tolerance = width == 1 ? 1 : Tolerance(dtype);
        EXPECT_LT(testing::RelativeError(got.dx, want.dx), dx_tolerance) << where;
        // Kept in f32 whatever the element type.
        EXPECT_LT(testing::RelativeError(got.inverse, want.inverse), 1e-6) << where;
        EXPECT_LT(testing::RelativeError(got.dweight, want.dweight), 3e-6) << where;
        const NormResult again = Compute(data, dtype, times);
        EXPECT_TRUE(testing::SameBits(got.dweight, again.dweight)) << where;
        EXPECT_TRUE(testing::SameBits(got.dx, again.dx)) << where;
        for (double& value : want.dweight) value *= 2;
      }
    }
  }
}

TEST_P(OpsTest, AdamWEqualsItsFormulaAndRoundsItsCopy) {
  const tensor::AdamWStep step{.learning_rate = 1e-2f,
                               .beta1 = 0.9f,
                               .beta2 = 0.95f,
                               .epsilon = 1e-8f,
                               .weight_decay = 0.1f,
                               .correction1 = 0.19f,
                               .correction2 = 0.0975f,
                               .gradient_scale = 0.5f};
  for (const int64_t count : {1, 255, 100003}) {
    const auto gradient = testing::RandomValues("g", count),
               start = testing::RandomValues("w", count);
    const auto m0 = testing::RandomValues("m", count);
    auto v0 = testing::RandomValues("v", count);
    for (float& value : v0) value = value * value;
    const Tensor g = Put(gradient, DType::kF32);
    Tensor m = Put(m0, DType::kF32), v = Put(v0, DType::kF32), w = Put(start, DType::kF32);
    Tensor rounded(count, DType::kBF16, device());
    tensor::AdamW(step, g.view(), m.view(), v.view(), w.view(), rounded.view(), stream());
    const std::vector<float> got = Get(w);
    std::vector<double> want;
    for (size_t i = 0; i < got.size(); ++i) {
      const double gi = 0.5 * static_cast<double>(gradient[i]);
      const double mi = 0.9 * static_cast<double>(m0[i]) + 0.1 * gi;
      const double vi = 0.95 * static_cast<double>(v0[i]) + 0.05 * gi * gi;
      const double wi = start[i];
      want.push_back(wi - 1e-2 * (mi / 0.19 / (std::sqrt(vi / 0.0975) + 1e-8) + 0.1 * wi));
    }
    EXPECT_LT(testing::RelativeError(got, want), 1e-6);
    EXPECT_TRUE(testing::SameBits(Get(rounded), As(DType::kBF16, got)));
    const std::vector<float> before = Get(w);
    tensor::AdamW(step, g.view(), m.view(), v.view(), w.view(), {}, stream());  // without a copy
    EXPECT_FALSE(testing::SameBits(Get(w), before));
  }
}

class CudaOpsTest : public testing::OnDevice {};
INSTANTIATE_TEST_SUITE_P(gpu, CudaOpsTest, ::testing::Values(core::DeviceKind::kCuda),
                         testing::DeviceName);

// Too much for a CPU in a test.
TEST_P(CudaOpsTest, LargeProductsAreRight) {
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

TEST_P(CudaOpsTest, AnOpThatIsNotBuiltSaysSo) {
  const Tensor x = Put({1, 2, 3}, DType::kF32);
  Tensor y(3, DType::kF32, device());
  try {
    tensor::Gelu(x.view(), y.view(), stream());
    FAIL() << "Gelu is built: name another op here";
  } catch (const core::ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("Gelu is not offered on cuda yet"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace moat
