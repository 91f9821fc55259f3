// SwiGLU, GELU, addition, dropout and casts against references.
#include <gtest/gtest.h>

#include "tensor/ops.h"
#include "tests/tensor/stored_values.h"

namespace moat::tensor {
namespace {

using ActivationTest = DTypeTest;

double Silu(double x) { return x / (1 + std::exp(-x)); }

TEST_P(ActivationTest, SwiGluAndItsGradientEqualReference) {
  const int64_t rows = 19, width = 37, n = rows * width;
  const auto gate_up = RandomStored(dtype, "gu", 2 * n, 4), dy = RandomStored(dtype, "dy", n);
  const auto got = testing::SameForAnyThreads([&](int threads) {
    Stream stream(threads);
    Stored y(dtype, 3 * n);
    SwiGlu(gate_up.view(), y.Range(0, n), width, stream);
    SwiGluGrad(gate_up.view(), dy.view(), y.Range(n, 2 * n), width, stream);
    return y.floats();
  });
  const auto x = gate_up.doubles(), dys = dy.doubles();
  std::vector<double> want(static_cast<size_t>(3 * n));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < width; ++i) {
      const double g = x[static_cast<size_t>(r * 2 * width + i)],
                   u = x[static_cast<size_t>(r * 2 * width + width + i)];
      const double d = dys[static_cast<size_t>(r * width + i)], step = 1e-6;
      want[static_cast<size_t>(r * width + i)] = Silu(g) * u;
      want[static_cast<size_t>(n + r * 2 * width + i)] =
          d * u * (Silu(g + step) - Silu(g - step)) / (2 * step);
      want[static_cast<size_t>(n + r * 2 * width + width + i)] = d * Silu(g);
    }
  }
  EXPECT_LT(testing::RelativeError(got, want), Bound(1e-6));
}

double GeluReference(double v) {
  return v / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
}

TEST_P(ActivationTest, GeluAndItsGradientEqualTheApproximationInF64) {
  const int64_t n = 40001;
  const auto x = RandomStored(dtype, "x", n, 6), dy = RandomStored(dtype, "dy", n);
  const auto got = testing::SameForAnyThreads([&](int threads) {
    Stream stream(threads);
    Stored out(dtype, 2 * n);
    Gelu(x.view(), out.Range(0, n), stream);
    GeluGrad(x.view(), dy.view(), out.Range(n, n), stream);
    return out.floats();
  });
  const auto xs = x.doubles(), dys = dy.doubles();
  std::vector<double> want;
  for (const double v : xs) want.push_back(GeluReference(v));
  for (size_t i = 0; i < xs.size(); ++i) {
    const double step = 1e-5;
    want.push_back((GeluReference(xs[i] + step) - GeluReference(xs[i] - step)) / (2 * step) *
                   dys[i]);
  }
  EXPECT_LT(testing::RelativeError(got, want), Bound(1e-6));
}

TEST_P(ActivationTest, AddAddsInPlaceAndCopyCopies) {
  Stream stream(2);
  const auto x = RandomStored(dtype, "x", 50001), y = RandomStored(dtype, "y", 50001);
  Stored sum(dtype, y.floats()), copy(dtype, 50001);
  Add(x.view(), sum.view(), stream);
  Copy(x.view(), copy.view(), stream);
  const auto xs = x.floats(), ys = y.floats(), got = sum.floats();
  std::vector<float> want;
  for (size_t i = 0; i < xs.size(); ++i) want.push_back(ys[i] + xs[i]);
  EXPECT_TRUE(testing::SameBits(got, Stored(dtype, want).floats()));
  EXPECT_TRUE(testing::SameBits(copy.floats(), xs));
}

TEST(Cast, RoundsToNearestEvenAndWidensExactly) {
  const auto values = testing::RandomValues("x", 40001, 1e3f);
  std::vector<float> x = {0.0f, -0.0f, 1e-40f, INFINITY, -INFINITY, 3.4e38f, NAN};
  for (const uint32_t half : {0x3f808000u, 0x3f818000u, 0x3f808001u, 0xff7fffffu, 0x7f800001u}) {
    x.push_back(std::bit_cast<float>(half));  // ties, above a tie, the largest number, a quiet NaN
  }
  x.insert(x.end(), values.begin(), values.end());
  const auto n = static_cast<int64_t>(x.size());
  Stream stream(2);
  Stored rounded(core::DType::kBF16, n), wide(core::DType::kF32, n);
  Cast(HostView(std::as_const(x).data(), n), rounded.view(), stream);
  Cast(rounded.view(), wide.view(), stream);
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(rounded.view().as<core::BFloat16>()[i].bits, core::BFloat16(x[i]).bits) << x[i];
  }
  EXPECT_TRUE(testing::SameBits(wide.floats(), rounded.floats()));
}

std::vector<float> DroppedOnes(core::DType dtype, uint64_t key, std::vector<uint64_t> samples,
                               int64_t seq_len, int64_t width, float rate, int threads) {
  Stream stream(threads);
  Stored x(dtype, std::vector<float>(samples.size() * static_cast<size_t>(seq_len * width), 1.0f));
  Dropout(x.view(), width, {key, samples.data(), seq_len, rate}, stream);
  return x.floats();
}

TEST_P(ActivationTest, DropoutDropsTheRateAndKeepsTheMean) {
  const auto x = testing::SameForAnyThreads([&](int threads) {
    return DroppedOnes(dtype, 5, {1, 2, 3, 4}, 64, 101, 0.2f, threads);
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

TEST_P(ActivationTest, DropoutMaskFollowsTheSampleNotTheRow) {
  const auto ab = DroppedOnes(dtype, 5, {7, 9}, 16, 40, 0.5f, 1),
             ba = DroppedOnes(dtype, 5, {9, 7}, 16, 40, 0.5f, 1);
  const auto half = static_cast<std::ptrdiff_t>(ab.size() / 2);
  EXPECT_TRUE(std::equal(ab.begin(), ab.begin() + half, ba.begin() + half));
  EXPECT_FALSE(std::equal(ab.begin(), ab.begin() + half, ba.begin()));
  EXPECT_FALSE(testing::SameBits(ab, DroppedOnes(dtype, 6, {7, 9}, 16, 40, 0.5f, 1)));
}

TEST(Dropout, MaskIsTheSameInEveryDType) {
  const auto f32 = DroppedOnes(core::DType::kF32, 5, {7, 9}, 16, 40, 0.5f, 1),
             bf16 = DroppedOnes(core::DType::kBF16, 5, {7, 9}, 16, 40, 0.5f, 1);
  EXPECT_TRUE(testing::SameBits(f32, bf16));  // factors of 0 and 2 are exact in both
}

TEST_P(ActivationTest, AddDropoutEqualsDropoutThenAdd) {
  const int64_t width = 13, rows = 8, n = rows * width;
  const std::vector<uint64_t> samples = {3, 4};
  const auto x = RandomStored(dtype, "x", n), branch = RandomStored(dtype, "b", n);
  for (const float rate : {0.0f, 0.5f}) {  // kept values are doubled, which rounds nothing
    Stream stream;
    Stored y(dtype, n), dropped(dtype, branch.floats());
    AddDropout(x.view(), branch.view(), y.view(), width, {1, samples.data(), 4, rate}, stream);
    Dropout(dropped.view(), width, {1, samples.data(), 4, rate}, stream);
    Add(x.view(), dropped.view(), stream);
    EXPECT_TRUE(testing::SameBits(y.floats(), dropped.floats()));
  }
}

TEST(Dropout, APartOfTheSlotsHasThePartOfTheMask) {
  const int64_t width = 19, seq_len = 6, slots = 18, first = 4;
  const std::vector<uint64_t> samples = {5, 9, 2};
  std::vector<float> whole(slots * width, 1.0f), part((slots - first) * width, 1.0f);
  Stream stream;
  DropoutKey key = {1, samples.data(), seq_len, 0.4f};
  Dropout(HostView(whole.data(), slots * width), width, key, stream);
  key.first_row = first;
  Dropout(HostView(part.data(), (slots - first) * width), width, key, stream);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + first * width));
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

MOAT_EVERY_DTYPE(ActivationTest);

}  // namespace
}  // namespace moat::tensor
