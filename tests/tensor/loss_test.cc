// Cross-entropy and its gradient against a reference.
#include <gtest/gtest.h>

#include "tensor/ops.h"
#include "tests/tensor/stored_values.h"

namespace moat::tensor {
namespace {

using LossTest = DTypeTest;

TEST_P(LossTest, LossAndGradientEqualReferenceAndZeroWeightsAreSilent) {
  const int64_t rows = 11, vocab = 301;
  const auto logits = testing::RandomValues("logits", rows * vocab, 8);
  std::vector<int32_t> targets;
  std::vector<float> weights;
  for (int32_t r = 0; r < rows; ++r) {
    targets.push_back(r * 29 % 301);
    weights.push_back(r % 3 == 0 ? 0.0f : 0.5f * static_cast<float>(r));
  }
  const auto got = testing::SameForAnyThreads([&](int threads) {
    Stream stream(threads);
    // In f32 the gradient replaces the logits.
    std::vector<float> own = logits, losses(rows, NAN);
    const View values = HostView(own.data(), rows * vocab);
    Stored gradient(dtype, rows * vocab);
    const bool in_place = dtype == core::DType::kF32;
    CrossEntropy(values, HostView(std::as_const(targets).data(), rows),
                 HostView(std::as_const(weights).data(), rows), HostView(losses.data(), rows),
                 in_place ? values : gradient.view(), stream);
    std::vector<float> out = in_place ? own : gradient.floats();
    out.insert(out.end(), losses.begin(), losses.end());
    return out;
  });
  std::vector<double> want(static_cast<size_t>(rows * vocab + rows));
  for (int64_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (int64_t i = 0; i < vocab; ++i)
      sum += std::exp(static_cast<double>(logits[static_cast<size_t>(r * vocab + i)]));
    const auto target = static_cast<size_t>(targets[static_cast<size_t>(r)]);
    const double w = static_cast<double>(weights[static_cast<size_t>(r)]);
    for (size_t i = 0; i < vocab; ++i) {
      const double p =
          std::exp(static_cast<double>(logits[static_cast<size_t>(r * vocab) + i])) / sum;
      want[static_cast<size_t>(r * vocab) + i] = w * (p - (i == target ? 1 : 0));
    }
    want[static_cast<size_t>(rows * vocab + r)] =
        w * (std::log(sum) - static_cast<double>(logits[static_cast<size_t>(r * vocab) + target]));
  }
  const auto part = [&](const auto& values, size_t begin, size_t end) {
    return std::vector<double>(values.begin() + static_cast<std::ptrdiff_t>(begin),
                               values.begin() + static_cast<std::ptrdiff_t>(end));
  };
  const size_t n = rows * vocab;
  EXPECT_LT(testing::RelativeError(part(got, 0, n), part(want, 0, n)), Bound(1e-6));
  EXPECT_LT(testing::RelativeError(part(got, n, got.size()), part(want, n, got.size())), 1e-6);
  EXPECT_EQ(got[static_cast<size_t>(rows * vocab)], 0);  // row 0 has weight 0
}

MOAT_EVERY_DTYPE(LossTest);

TEST_P(LossTest, PartsOfTheVocabularyGiveTheLossAndGradientOfTheWhole) {
  const int64_t rows = 7, vocab = 301;
  const std::vector<int64_t> cuts = {0, 100, 101, 301};
  const auto logits = testing::RandomValues("logits", rows * vocab, 8);
  const std::vector<int32_t> targets = {0, 99, 100, 101, 300, 7, 200};
  const std::vector<float> weights = {1, 0.5f, 2, 1, 0.25f, 0, 1};
  const ConstView target = HostView(targets.data(), rows), weight = HostView(weights.data(), rows);
  Stream stream(2);
  std::vector<float> want_losses(rows), losses(rows, NAN);
  Stored want(dtype, rows * vocab);
  CrossEntropy(HostView(logits.data(), rows * vocab), target, weight,
               HostView(want_losses.data(), rows), want.view(), stream);

  std::vector<std::vector<float>> parts(3);
  std::vector<float> statistics(3 * rows * kPartStatistics);
  const auto of = [&](size_t p) {
    return HostView(std::as_const(parts[p]).data(), static_cast<int64_t>(parts[p].size()));
  };
  for (size_t p = 0; p < 3; ++p) {
    for (int64_t r = 0; r < rows; ++r) {
      parts[p].insert(parts[p].end(), logits.begin() + r * vocab + cuts[p],
                      logits.begin() + r * vocab + cuts[p + 1]);
    }
    const auto at = static_cast<int64_t>(p) * rows * kPartStatistics;
    PartStatistics(of(p), target, cuts[p], HostView(statistics.data() + at, rows * kPartStatistics),
                   stream);
  }
  const ConstView all = HostView(std::as_const(statistics).data(), 3 * rows * kPartStatistics);
  for (size_t p = 0; p < 3; ++p) {
    const int64_t part = cuts[p + 1] - cuts[p];
    Stored gradient(dtype, rows * part);
    CrossEntropyOfPart(all, of(p), target, cuts[p], weight, HostView(losses.data(), rows),
                       gradient.view(), stream);
    EXPECT_LT(testing::RelativeError(losses, want_losses), 1e-6);
    std::vector<float> columns;
    const std::vector<float> whole = want.floats();
    for (int64_t r = 0; r < rows; ++r) {
      columns.insert(columns.end(), whole.begin() + r * vocab + cuts[p],
                     whole.begin() + r * vocab + cuts[p + 1]);
    }
    EXPECT_LT(testing::RelativeError(gradient.floats(), columns), Bound(1e-5)) << "part " << p;
  }
}

TEST(CrossEntropy, HugeLogitsStayFinite) {
  Stream stream;
  std::vector<float> logits = {1e4f, -1e4f, 0, 3e4f}, losses(1);
  const std::vector<int32_t> targets = {3};
  const std::vector<float> weights = {1};
  CrossEntropy(HostView(logits.data(), 4), HostView(targets.data(), 1), HostView(weights.data(), 1),
               HostView(losses.data(), 1), {}, stream);
  EXPECT_NEAR(losses[0], 0, 1e-6);
}

}  // namespace
}  // namespace moat::tensor
