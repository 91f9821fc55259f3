// RMSNorm against a reference and finite differences.
#include <gtest/gtest.h>

#include "tensor/ops.h"
#include "tests/support/values.h"

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

std::vector<double> Wide(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

class NormTest : public ::testing::TestWithParam<int64_t> {};

TEST_P(NormTest, ForwardEqualsReference) {
  const int64_t width = GetParam(), rows = 37;
  const auto x = testing::RandomValues("x", rows * width, 3),
             weight = testing::RandomValues("w", width);
  const auto y = testing::SameForAnyThreads([&](int threads) {
    Stream stream(threads);
    std::vector<float> out(x.size()), inverse(static_cast<size_t>(rows));
    RmsNorm(HostView(x.data(), rows * width), HostView(weight.data(), width),
            HostView(out.data(), rows * width), HostView(inverse.data(), rows), 1e-5, stream);
    return out;
  });
  EXPECT_LT(testing::RelativeError(y, Reference(Wide(x), Wide(weight), 1e-5)), 1e-6);
}

TEST_P(NormTest, GradientEqualsFiniteDifferences) {
  const int64_t width = GetParam(), rows = 5;
  const auto x = testing::RandomValues("x", rows * width, 2),
             weight = testing::RandomValues("w", width);
  const auto dy = testing::RandomValues("dy", rows * width);
  const auto got = testing::SameForAnyThreads([&](int threads) {
    Stream stream(threads);
    std::vector<float> y(x.size()), inverse(static_cast<size_t>(rows)),
        out(x.size() + weight.size());
    RmsNorm(HostView(x.data(), rows * width), HostView(weight.data(), width),
            HostView(y.data(), rows * width), HostView(inverse.data(), rows), 1e-5, stream);
    RmsNormGrad(HostView(x.data(), rows * width), HostView(weight.data(), width),
                HostView(std::as_const(inverse).data(), rows), HostView(dy.data(), rows * width),
                HostView(out.data(), rows * width), HostView(out.data() + x.size(), width), false,
                stream);
    return out;
  });
  const auto loss = [&](const std::vector<double>& xs, const std::vector<double>& ws) {
    const auto y = Reference(xs, ws, 1e-5);
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += y[i] * static_cast<double>(dy[i]);
    return sum;
  };
  std::vector<double> xs = Wide(x), ws = Wide(weight), want;
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
  EXPECT_LT(testing::RelativeError(got, want), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Widths, NormTest, ::testing::Values(1, 7, 16, 65, 256));

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
