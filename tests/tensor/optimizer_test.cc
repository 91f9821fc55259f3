// AdamW and the sum of squares against f64.
#include <gtest/gtest.h>

#include "tensor/ops.h"
#include "tests/tensor/stored_values.h"

namespace moat::tensor {
namespace {

TEST(AdamW, ThreeStepsEqualTheAlgorithmInF64) {
  const int64_t n = 40001;
  const auto start = testing::RandomValues("w", n);
  const double lr = 1e-2, b1 = 0.9, b2 = 0.95, eps = 1e-8, decay = 0.1, scale = 0.25;
  std::vector<double> w(start.begin(), start.end()), m(w.size()), v(w.size());
  for (int t = 1; t <= 3; ++t) {
    const auto g = testing::RandomValues("g" + std::to_string(t), n);
    for (size_t i = 0; i < w.size(); ++i) {
      const double gi = static_cast<double>(g[i]) * scale;
      m[i] = b1 * m[i] + (1 - b1) * gi;
      v[i] = b2 * v[i] + (1 - b2) * gi * gi;
      w[i] -= lr * (m[i] / (1 - std::pow(b1, t)) / (std::sqrt(v[i] / (1 - std::pow(b2, t))) + eps) +
                    decay * w[i]);
    }
  }
  const auto got = testing::SameForAnyThreads([&](int threads) {
    Stream stream(threads);
    std::vector<float> weight = start, m1(start.size()), m2(start.size());
    for (int t = 1; t <= 3; ++t) {
      const auto g = testing::RandomValues("g" + std::to_string(t), n);
      AdamW({static_cast<float>(lr), static_cast<float>(b1), static_cast<float>(b2),
             static_cast<float>(eps), static_cast<float>(decay),
             static_cast<float>(1 - std::pow(b1, t)), static_cast<float>(1 - std::pow(b2, t)),
             static_cast<float>(scale)},
            HostView(g.data(), n), HostView(m1.data(), n), HostView(m2.data(), n),
            HostView(weight.data(), n), {}, stream);
    }
    return weight;
  });
  EXPECT_LT(testing::RelativeError(got, w), 1e-6);
}

TEST(AdamW, RoundedIsTheNewWeightRoundedAndChangesNothingElse) {
  const int64_t n = 33001;
  const AdamWStep step{1e-2f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.1f, 0.05f, 0.5f};
  const auto run = [&](Stored* rounded, int threads) {
    Stream stream(threads);
    auto weight = RandomStored(core::DType::kF32, "w", n),
         m1 = RandomStored(core::DType::kF32, "m", n),
         m2 = Stored(core::DType::kF32, std::vector<float>(static_cast<size_t>(n), 0.25f));
    AdamW(step, RandomStored(core::DType::kF32, "g", n).view(), m1.view(), m2.view(), weight.view(),
          rounded ? rounded->view() : View{}, stream);
    return weight.floats();
  };
  const auto plain = run(nullptr, 1);
  for (const int threads : {1, 2, 3, 4}) {
    Stored rounded(core::DType::kBF16, n);
    EXPECT_TRUE(testing::SameBits(run(&rounded, threads), plain));
    EXPECT_TRUE(testing::SameBits(rounded.floats(), Stored(core::DType::kBF16, plain).floats()));
  }
}

// What SumsOfSquares says of x[begin, end), a stretch of blocks of `block`.
std::vector<double> Sums(const std::vector<float>& x, int64_t begin, int64_t end, int64_t block,
                         int threads) {
  Stream stream(threads);
  const int64_t phase = begin % block;
  std::vector<double> sums(static_cast<size_t>((phase + end - begin + block - 1) / block));
  SumsOfSquares(HostView(x.data() + begin, end - begin), block, phase,
                HostView(sums.data(), static_cast<int64_t>(sums.size())), stream);
  return sums;
}

TEST(SumsOfSquares, AreExactForSmallIntegers) {
  std::vector<float> x(100003);
  double want = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(i % 13) - 6;
    want += static_cast<double>(x[i] * x[i]);
  }
  for (const int threads : {1, 2, 3, 4}) {
    double sum = 0;
    for (const double part : Sums(x, 0, 100003, 4096, threads)) sum += part;
    EXPECT_EQ(sum, want);
  }
}

TEST(SumsOfSquares, ABlocksBitsDependOnItsElementsOnly) {
  const auto x = testing::RandomValues("r", 70001);
  const std::vector<double> whole = Sums(x, 100, 70001, 1000, 1);
  ASSERT_EQ(whole.size(), 71u);
  EXPECT_EQ(whole, Sums(x, 100, 70001, 1000, 3));
  std::vector<double> pieces = Sums(x, 100, 3000, 1000, 2);
  for (const double sum : Sums(x, 3000, 70001, 1000, 1)) pieces.push_back(sum);
  EXPECT_EQ(whole, pieces);
  EXPECT_NE(Sums(x, 0, 1000, 1000, 1)[0], whole[0]);  // its elements count
}

}  // namespace
}  // namespace moat::tensor
