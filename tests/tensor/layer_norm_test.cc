// LayerNorm, GELU and gradients of biases against f64 references and finite differences.
#include <gtest/gtest.h>

#include "tensor/ops.h"
#include "tests/support/values.h"

namespace moat::tensor {
namespace {

using Doubles = std::vector<double>;

Doubles Wide(const std::vector<float>& values) { return {values.begin(), values.end()}; }

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
Doubles Differences(const std::vector<Doubles*>& values, const std::vector<float>& dy,
                    const Forward& forward) {
  const auto loss = [&] {
    const Doubles y = forward();
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += y[i] * static_cast<double>(dy[i]);
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

class LayerNormTest : public ::testing::TestWithParam<int64_t> {
 protected:
  int64_t width = GetParam();
  int64_t rows = 37;
  int64_t n = rows * width;
  std::vector<float> x = testing::RandomValues("x", n, 3),
                     weight = testing::RandomValues("w", width),
                     bias = testing::RandomValues("b", width), dy = testing::RandomValues("dy", n);
};

TEST_P(LayerNormTest, ForwardEqualsReferenceWithAndWithoutBias) {
  for (const bool with_bias : {true, false}) {
    const auto y = testing::SameForAnyThreads([&](int threads) {
      Stream stream(threads);
      std::vector<float> out(x.size()), mean(static_cast<size_t>(rows)), inverse(mean);
      LayerNorm(HostView(std::as_const(x).data(), n), HostView(std::as_const(weight).data(), width),
                with_bias ? HostView(std::as_const(bias).data(), width) : ConstView{},
                HostView(out.data(), n), HostView(mean.data(), rows),
                HostView(inverse.data(), rows), 1e-5, stream);
      return out;
    });
    const Doubles no_bias(weight.size());
    const auto want = Reference(Wide(x), Wide(weight), with_bias ? Wide(bias) : no_bias, 1e-5);
    EXPECT_LT(testing::RelativeError(y, want), 1e-6);
  }
}

TEST_P(LayerNormTest, GradientEqualsFiniteDifferencesInPlaceAndAdded) {
  const int64_t few = 5, m = few * width;
  const std::vector<float> xs(x.begin(), x.begin() + m), dys(dy.begin(), dy.begin() + m);
  const auto got = testing::SameForAnyThreads([&](int threads) {
    Stream stream(threads);
    std::vector<float> y(xs.size()), mean(static_cast<size_t>(few)), inverse(mean), dx = dys;
    std::vector<float> dweight(weight.size(), 1.0f), dbias(weight.size(), 2.0f);
    LayerNorm(HostView(xs.data(), m), HostView(std::as_const(weight).data(), width),
              HostView(std::as_const(bias).data(), width), HostView(y.data(), m),
              HostView(mean.data(), few), HostView(inverse.data(), few), 1e-5, stream);
    LayerNormGrad(HostView(xs.data(), m), HostView(std::as_const(weight).data(), width),
                  HostView(std::as_const(mean).data(), few),
                  HostView(std::as_const(inverse).data(), few),
                  HostView(std::as_const(dx).data(), m), HostView(dx.data(), m),
                  HostView(dweight.data(), width), HostView(dbias.data(), width), true, stream);
    for (const float value : dweight) dx.push_back(value - 1.0f);
    for (const float value : dbias) dx.push_back(value - 2.0f);
    return dx;
  });
  Doubles wide_x = Wide(xs), wide_weight = Wide(weight), wide_bias = Wide(bias);
  const auto want = Differences({&wide_x, &wide_weight, &wide_bias}, dys,
                                [&] { return Reference(wide_x, wide_weight, wide_bias, 1e-5); });
  EXPECT_LT(testing::RelativeError(got, want), width == 1 ? 1e-3 : 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Widths, LayerNormTest, ::testing::Values(1, 7, 16, 65, 256));

Doubles GeluReference(const Doubles& x) {
  Doubles y;
  for (const double v : x) {
    y.push_back(v / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v))));
  }
  return y;
}

TEST(Gelu, ForwardAndGradientEqualTheApproximationInF64) {
  const int64_t n = 40001;
  const auto x = testing::RandomValues("x", n, 6), dy = testing::RandomValues("dy", n);
  const auto got = testing::SameForAnyThreads([&](int threads) {
    Stream stream(threads);
    std::vector<float> out(static_cast<size_t>(2 * n));
    Gelu(HostView(x.data(), n), HostView(out.data(), n), stream);
    GeluGrad(HostView(x.data(), n), HostView(dy.data(), n), HostView(out.data() + n, n), stream);
    return out;
  });
  Doubles want = GeluReference(Wide(x));
  for (int64_t i = 0; i < n; ++i) {
    const double at = static_cast<double>(x[static_cast<size_t>(i)]), step = 1e-5;
    const Doubles ends = GeluReference({at - step, at + step});
    want.push_back((ends[1] - ends[0]) / (2 * step) *
                   static_cast<double>(dy[static_cast<size_t>(i)]));
  }
  EXPECT_LT(testing::RelativeError(got, want), 1e-6);
}

TEST(BiasGrad, SumsColumnsFreshAndAdded) {
  const int64_t rows = 9, width = 130;
  const auto dy = testing::RandomValues("dy", rows * width);
  for (const bool accumulate : {false, true}) {
    const auto got = testing::SameForAnyThreads([&](int threads) {
      Stream stream(threads);
      std::vector<float> out(static_cast<size_t>(width), 0.5f);
      BiasGrad(HostView(dy.data(), rows * width), HostView(out.data(), width), accumulate, stream);
      return out;
    });
    Doubles want(static_cast<size_t>(width), accumulate ? 0.5 : 0.0);
    for (size_t i = 0; i < dy.size(); ++i) {
      want[i % static_cast<size_t>(width)] += static_cast<double>(dy[i]);
    }
    EXPECT_LT(testing::RelativeError(got, want), 1e-6);
  }
}

TEST(MatMul, ABiasIsAddedToEveryRow) {
  const int64_t m = 515, n = 259, k = 31;
  const auto a = testing::RandomValues("a", m * k), b = testing::RandomValues("b", n * k),
             bias = testing::RandomValues("bias", n);
  const auto run = [&](ConstView with) {
    return testing::SameForAnyThreads([&](int threads) {
      Stream stream(threads);
      std::vector<float> out(static_cast<size_t>(m * n), NAN);
      MatMul(false, true, m, n, k, HostView(a.data(), m * k), HostView(b.data(), n * k), with,
             HostView(out.data(), m * n), false, stream);
      return out;
    });
  };
  const auto plain = run({}), got = run(HostView(bias.data(), n));
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i], plain[i] + bias[i % static_cast<size_t>(n)]);
  }
}

TEST(Embed, AddsWhenAsked) {
  const std::vector<int32_t> ids = {2, 0};
  const auto table = testing::RandomValues("table", 3 * 5);
  std::vector<float> y(10, 0.25f);
  Stream stream;
  Embed(HostView(ids.data(), 2), HostView(table.data(), 15), HostView(y.data(), 10), 5, true,
        stream);
  EXPECT_EQ(y[0], 0.25f + table[10]);
  EXPECT_EQ(y[9], 0.25f + table[4]);
}

}  // namespace
}  // namespace moat::tensor
