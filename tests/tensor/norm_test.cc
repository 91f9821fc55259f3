// RMSNorm against a reference and finite differences.
#include <gtest/gtest.h>

#include "tensor/ops.h"
#include "tests/tensor/stored_values.h"

namespace moat::tensor {
namespace {

std::vector<double> Reference(const std::vector<double>& x, const std::vector<double>& weight,
                              double epsilon) {
  std::vector<double> y(x.size());
  const size_t width = weight.size();
  for (size_t r = 0; r < x.size() / width; ++r) {
    double sum = 0;
    for (size_t i = 0; i < width; ++i) sum += x[r * width + i] * x[r * width + i];
    const double rms = std::sqrt(sum / static_cast<double>(width) + epsilon);
    for (size_t i = 0; i < width; ++i) y[r * width + i] = x[r * width + i] / rms * weight[i];
  }
  return y;
}

class NormTest : public ::testing::TestWithParam<std::tuple<core::DType, int64_t>> {
 protected:
  core::DType dtype = std::get<0>(GetParam());
  int64_t width = std::get<1>(GetParam());
  double Bound(double f32) const { return dtype == core::DType::kF32 ? f32 : 2.5e-3; }
};

TEST_P(NormTest, ForwardEqualsReference) {
  const int64_t rows = 37;
  const auto x = RandomStored(dtype, "x", rows * width, 3),
             weight = RandomStored(dtype, "w", width);
  const auto y = testing::SameForAnyThreads([&](int threads) {
    Stream stream(threads);
    Stored out(dtype, x.count()), inverse(core::DType::kF32, rows);
    RmsNorm(x.view(), weight.view(), out.view(), inverse.view(), 1e-5, stream);
    return out.floats();
  });
  EXPECT_LT(testing::RelativeError(y, Reference(x.doubles(), weight.doubles(), 1e-5)), Bound(1e-6));
}

TEST_P(NormTest, GradientEqualsFiniteDifferences) {
  const int64_t rows = 5;
  const auto x = RandomStored(dtype, "x", rows * width, 2),
             weight = RandomStored(dtype, "w", width);
  const auto dy = RandomStored(dtype, "dy", rows * width);
  const auto got = testing::SameForAnyThreads([&](int threads) {
    Stream stream(threads);
    Stored dx(dtype, x.count()), inverse(core::DType::kF32, rows), dw(core::DType::kF32, width);
    RmsNorm(x.view(), weight.view(), dx.view(), inverse.view(), 1e-5, stream);
    RmsNormGrad(x.view(), weight.view(), inverse.view(), dy.view(), dx.view(), dw.view(), false,
                stream);
    std::vector<float> out = dx.floats(), weights = dw.floats();
    out.insert(out.end(), weights.begin(), weights.end());
    return out;
  });
  const auto dys = dy.doubles();
  const auto loss = [&](const std::vector<double>& xs, const std::vector<double>& ws) {
    const auto y = Reference(xs, ws, 1e-5);
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += y[i] * dys[i];
    return sum;
  };
  std::vector<double> xs = x.doubles(), ws = weight.doubles(), want;
  const double step = 1e-5;
  for (std::vector<double>* values : {&xs, &ws}) {
    for (double& value : *values) {
      const double keep = value;
      value = keep + step;
      const double up = loss(xs, ws);
      value = keep - step;
      want.push_back((up - loss(xs, ws)) / (2 * step));
      value = keep;
    }
  }
  EXPECT_LT(testing::RelativeError(got, want), Bound(1e-5));
}

INSTANTIATE_TEST_SUITE_P(Widths, NormTest,
                         ::testing::Combine(::testing::Values(core::DType::kF32,
                                                              core::DType::kBF16),
                                            ::testing::Values(1, 7, 16, 65, 256)));

TEST(NormGrad, AccumulatesAndMayOverwriteItsInput) {
  const int64_t width = 33, rows = 9, n = rows * width;
  const auto x = testing::RandomValues("x", n), weight = testing::RandomValues("w", width),
             dy = testing::RandomValues("dy", n);
  Stream stream;
  std::vector<float> y(x.size()), inverse(rows), dx(x.size()), dw(static_cast<size_t>(width)),
      in_place = dy, twice;
  RmsNorm(HostView(x.data(), n), HostView(weight.data(), width), HostView(y.data(), n),
          HostView(inverse.data(), rows), 1e-5, stream);
  const ConstView inverses = HostView(std::as_const(inverse).data(), rows);
  RmsNormGrad(HostView(x.data(), n), HostView(weight.data(), width), inverses,
              HostView(dy.data(), n), HostView(dx.data(), n), HostView(dw.data(), width), false,
              stream);
  twice = dw;
  RmsNormGrad(HostView(x.data(), n), HostView(weight.data(), width), inverses,
              HostView(std::as_const(in_place).data(), n), HostView(in_place.data(), n),
              HostView(twice.data(), width), true, stream);
  EXPECT_TRUE(testing::SameBits(dx, in_place));
  for (size_t i = 0; i < dw.size(); ++i) EXPECT_NEAR(twice[i], 2 * dw[i], 1e-4);
}

}  // namespace
}  // namespace moat::tensor
