// SwiGLU, addition and dropout against references.
#include <gtest/gtest.h>

#include "tensor/ops.h"
#include "tests/support/values.h"

namespace moat::tensor {
namespace {

double Silu(double x) { return x / (1 + std::exp(-x)); }

TEST(SwiGlu, ForwardAndGradientEqualReference) {
  const int64_t rows = 19, width = 37, n = rows * width;
  const auto gate_up = testing::RandomValues("gu", 2 * n, 4), dy = testing::RandomValues("dy", n);
  const auto got = testing::SameForAnyThreads([&](int threads) {
    Stream stream(threads);
    std::vector<float> y(static_cast<size_t>(3 * n));
    SwiGlu(HostView(gate_up.data(), 2 * n), HostView(y.data(), n), width, stream);
    SwiGluGrad(HostView(gate_up.data(), 2 * n), HostView(dy.data(), n),
               HostView(y.data() + n, 2 * n), width, stream);
    return y;
  });
  std::vector<double> want(static_cast<size_t>(3 * n));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < width; ++i) {
      const double g = gate_up[static_cast<size_t>(r * 2 * width + i)],
                   u = gate_up[static_cast<size_t>(r * 2 * width + width + i)];
      const double d = dy[static_cast<size_t>(r * width + i)], step = 1e-6;
      want[static_cast<size_t>(r * width + i)] = Silu(g) * u;
      want[static_cast<size_t>(n + r * 2 * width + i)] =
          d * u * (Silu(g + step) - Silu(g - step)) / (2 * step);
      want[static_cast<size_t>(n + r * 2 * width + width + i)] = d * Silu(g);
    }
  }
  EXPECT_LT(testing::RelativeError(got, want), 1e-6);
}

TEST(Add, AddsInPlaceAndCopyCopies) {
  Stream stream(2);
  const auto x = testing::RandomValues("x", 50001), y = testing::RandomValues("y", 50001);
  std::vector<float> sum = y, copy(x.size());
  Add(HostView(x.data(), 50001), HostView(sum.data(), 50001), stream);
  Copy(HostView(x.data(), 50001), HostView(copy.data(), 50001), stream);
  for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(sum[i], y[i] + x[i]);
  EXPECT_TRUE(testing::SameBits(copy, x));
}

std::vector<float> DroppedOnes(uint64_t key, std::vector<uint64_t> samples, int64_t seq_len,
                               int64_t width, float rate, int threads) {
  Stream stream(threads);
  std::vector<float> x(samples.size() * static_cast<size_t>(seq_len * width), 1.0f);
  Dropout(HostView(x.data(), static_cast<int64_t>(x.size())), width,
          {key, samples.data(), seq_len, rate}, stream);
  return x;
}

TEST(Dropout, DropsTheRateAndKeepsTheMean) {
  const auto x = testing::SameForAnyThreads([](int threads) {
    return DroppedOnes(5, {1, 2, 3, 4}, 64, 101, 0.2f, threads);
  });
  double dropped = 0, sum = 0;
  for (const float value : x) {
    dropped += value == 0;
    sum += static_cast<double>(value);
  }
  const auto n = static_cast<double>(x.size());
  EXPECT_NEAR(dropped / n, 0.2, 0.01);
  EXPECT_NEAR(sum / n, 1, 0.02);
}

TEST(Dropout, MaskFollowsTheSampleNotTheRow) {
  const auto ab = DroppedOnes(5, {7, 9}, 16, 40, 0.5f, 1),
             ba = DroppedOnes(5, {9, 7}, 16, 40, 0.5f, 1);
  const auto half = static_cast<std::ptrdiff_t>(ab.size() / 2);
  EXPECT_TRUE(std::equal(ab.begin(), ab.begin() + half, ba.begin() + half));
  EXPECT_FALSE(std::equal(ab.begin(), ab.begin() + half, ba.begin()));
  EXPECT_FALSE(testing::SameBits(ab, DroppedOnes(6, {7, 9}, 16, 40, 0.5f, 1)));
}

TEST(AddDropout, EqualsDropoutThenAdd) {
  const int64_t width = 13, rows = 8, n = rows * width;
  const std::vector<uint64_t> samples = {3, 4};
  const auto x = testing::RandomValues("x", n), branch = testing::RandomValues("b", n);
  for (const float rate : {0.0f, 0.3f}) {
    Stream stream;
    std::vector<float> y(x.size()), want = branch;
    AddDropout(HostView(x.data(), n), HostView(branch.data(), n), HostView(y.data(), n), width,
               {1, samples.data(), 4, rate}, stream);
    Dropout(HostView(want.data(), n), width, {1, samples.data(), 4, rate}, stream);
    for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], x[i] + want[i]);
  }
}

}  // namespace
}  // namespace moat::tensor
