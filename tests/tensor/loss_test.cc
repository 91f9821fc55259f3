// Cross-entropy and its gradient against a reference.
#include <gtest/gtest.h>

#include "tensor/ops.h"
#include "tests/support/values.h"

namespace moat::tensor {
namespace {

TEST(CrossEntropy, LossAndGradientEqualReferenceAndZeroWeightsAreSilent) {
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
    std::vector<float> out = logits, losses(rows, NAN);
    CrossEntropy(HostView(out.data(), rows * vocab), HostView(std::as_const(targets).data(), rows),
                 HostView(std::as_const(weights).data(), rows), HostView(losses.data(), rows),
                 HostView(out.data(), rows * vocab), stream);
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
  EXPECT_LT(testing::RelativeError(got, want), 1e-6);
  EXPECT_EQ(got[static_cast<size_t>(rows * vocab)], 0);  // row 0 has weight 0
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
