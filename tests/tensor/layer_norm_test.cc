// LayerNorm and gradients of biases against f64 references and finite differences.
#include <gtest/gtest.h>

#include "tensor/ops.h"
#include "tests/tensor/stored_values.h"

namespace moat::tensor {
namespace {

using Doubles = std::vector<double>;

Doubles Reference(const Doubles& x, const Doubles& weight, const Doubles& bias, double epsilon) {
  Doubles y(x.size());
  const size_t width = weight.size();
  const auto n = static_cast<double>(width);
  for (size_t r = 0; r < x.size(); r += width) {
    double mean = 0, variance = 0;
    for (size_t i = 0; i < width; ++i) mean += x[r + i] / n;
    for (size_t i = 0; i < width; ++i) variance += (x[r + i] - mean) * (x[r + i] - mean) / n;
    for (size_t i = 0; i < width; ++i) {
      y[r + i] = (x[r + i] - mean) / std::sqrt(variance + epsilon) * weight[i] + bias[i];
    }
  }
  return y;
}

// Gradients of sum(dy * loss_of(values)) with respect to each of `values`, by central differences.
template <typename Forward>
Doubles Differences(const std::vector<Doubles*>& values, const Doubles& dy,
                    const Forward& forward) {
  const auto loss = [&] {
    const Doubles y = forward();
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += y[i] * dy[i];
    return sum;
  };
  Doubles want;
  const double step = 1e-5;
  for (Doubles* group : values) {
    for (double& value : *group) {
      const double keep = value;
      value = keep + step;
      const double up = loss();
      value = keep - step;
      want.push_back((up - loss()) / (2 * step));
      value = keep;
    }
  }
  return want;
}

class LayerNormTest : public ::testing::TestWithParam<std::tuple<core::DType, int64_t>> {
 protected:
  core::DType dtype = std::get<0>(GetParam());
  int64_t width = std::get<1>(GetParam());
  Stored weight = RandomStored(dtype, "w", width), bias = RandomStored(dtype, "b", width);
  double Bound(double f32) const { return dtype == core::DType::kF32 ? f32 : 2.5e-3; }
};

TEST_P(LayerNormTest, ForwardEqualsReferenceWithAndWithoutBias) {
  const int64_t rows = 37;
  const auto x = RandomStored(dtype, "x", rows * width, 3);
  for (const bool with_bias : {true, false}) {
    const auto y = testing::SameForAnyThreads([&](int threads) {
      Stream stream(threads);
      Stored out(dtype, x.count()), mean(core::DType::kF32, rows), inverse(core::DType::kF32, rows);
      LayerNorm(x.view(), weight.view(), with_bias ? bias.view() : View{}, out.view(), mean.view(),
                inverse.view(), 1e-5, stream);
      return out.floats();
    });
    const Doubles no_bias(static_cast<size_t>(width));
    const auto want =
        Reference(x.doubles(), weight.doubles(), with_bias ? bias.doubles() : no_bias, 1e-5);
    EXPECT_LT(testing::RelativeError(y, want), Bound(1e-6));
  }
}

TEST_P(LayerNormTest, GradientEqualsFiniteDifferencesInPlaceAndAdded) {
  const int64_t rows = 5;
  const auto x = RandomStored(dtype, "x", rows * width, 3),
             dy = RandomStored(dtype, "dy", rows * width);
  const auto got = testing::SameForAnyThreads([&](int threads) {
    Stream stream(threads);
    Stored y(dtype, x.count()), mean(core::DType::kF32, rows), inverse(core::DType::kF32, rows);
    Stored dx(dtype, dy.floats());
    const std::vector<float> ones(static_cast<size_t>(width), 1.0f);
    Stored dweight(core::DType::kF32, ones), dbias(core::DType::kF32, ones);
    LayerNorm(x.view(), weight.view(), bias.view(), y.view(), mean.view(), inverse.view(), 1e-5,
              stream);
    LayerNormGrad(x.view(), weight.view(), mean.view(), inverse.view(), dx.view(), dx.view(),
                  dweight.view(), dbias.view(), true, stream);
    std::vector<float> out = dx.floats();
    for (const Stored* sum : {&dweight, &dbias}) {
      for (const float value : sum->floats()) out.push_back(value - 1.0f);
    }
    return out;
  });
  Doubles wide_x = x.doubles(), wide_weight = weight.doubles(), wide_bias = bias.doubles();
  const auto want = Differences({&wide_x, &wide_weight, &wide_bias}, dy.doubles(),
                                [&] { return Reference(wide_x, wide_weight, wide_bias, 1e-5); });
  EXPECT_LT(testing::RelativeError(got, want), width == 1 ? 1e-3 : Bound(1e-5));
}

INSTANTIATE_TEST_SUITE_P(Widths, LayerNormTest,
                         ::testing::Combine(::testing::Values(core::DType::kF32,
                                                              core::DType::kBF16),
                                            ::testing::Values(1, 7, 16, 65, 256)));

using BiasGradTest = DTypeTest;

TEST_P(BiasGradTest, SumsColumnsFreshAndAdded) {
  const int64_t rows = 9, width = 130;
  const auto dy = RandomStored(dtype, "dy", rows * width);
  for (const bool accumulate : {false, true}) {
    const auto got = testing::SameForAnyThreads([&](int threads) {
      Stream stream(threads);
      std::vector<float> out(static_cast<size_t>(width), 0.5f);
      BiasGrad(dy.view(), HostView(out.data(), width), accumulate, stream);
      return out;
    });
    Doubles want(static_cast<size_t>(width), accumulate ? 0.5 : 0.0);
    const Doubles values = dy.doubles();
    for (size_t i = 0; i < values.size(); ++i) want[i % static_cast<size_t>(width)] += values[i];
    EXPECT_LT(testing::RelativeError(got, want), 1e-6);
  }
}

MOAT_EVERY_DTYPE(BiasGradTest);

}  // namespace
}  // namespace moat::tensor
