// Embeddings and rotary positions against references.
#include <gtest/gtest.h>

#include "tensor/ops.h"
#include "tests/support/values.h"

namespace moat::tensor {
namespace {

TEST(Embed, GathersRowsAndAddsGradientsOfRepeatedTokens) {
  const int64_t width = 130, vocab = 7;
  const std::vector<int32_t> ids = {3, 3, 0, 6, 3};
  const auto table = testing::RandomValues("table", vocab * width),
             dy = testing::RandomValues("dy", 5 * width);
  const auto got = testing::SameForAnyThreads([&](int threads) {
    Stream stream(threads);
    std::vector<float> y(5 * width), grad(static_cast<size_t>(vocab * width), 0.5f);
    Embed(HostView(ids.data(), 5), HostView(table.data(), vocab * width),
          HostView(y.data(), 5 * width), width, false, stream);
    EmbedGrad(HostView(ids.data(), 5), HostView(dy.data(), 5 * width),
              HostView(grad.data(), vocab * width), width, stream);
    y.insert(y.end(), grad.begin(), grad.end());
    return y;
  });
  for (int64_t t = 0; t < 5; ++t) {
    for (int64_t i = 0; i < width; ++i) {
      EXPECT_EQ(got[static_cast<size_t>(t * width + i)],
                table[static_cast<size_t>(ids[static_cast<size_t>(t)] * width + i)]);
    }
  }
  for (int64_t v = 0; v < vocab; ++v) {
    for (int64_t i = 0; i < width; ++i) {
      float want = 0.5f;
      for (int64_t t = 0; t < 5; ++t)
        want += ids[static_cast<size_t>(t)] == v ? dy[static_cast<size_t>(t * width + i)] : 0.0f;
      EXPECT_EQ(got[static_cast<size_t>((5 + v) * width + i)], want);
    }
  }
}

TEST(Rotate, TurnsPairsByPositionTimesFrequencyAndBack) {
  const int64_t heads = 2, head = 6, stride = 20,
                tokens = 9;  // the last 8 of a row are not rotated
  const auto x = testing::RandomValues("x", tokens * stride);
  std::vector<int32_t> positions;
  for (int32_t t = 0; t < tokens; ++t) positions.push_back(t * 31 % 17);
  std::vector<float> back;
  const auto y = testing::SameForAnyThreads([&](int threads) {
    Stream stream(threads);
    std::vector<float> out = x;
    Rotate(HostView(out.data(), tokens * stride), HostView(std::as_const(positions).data(), tokens),
           heads, head, stride, 10000, false, stream);
    back = out;
    Rotate(HostView(back.data(), tokens * stride),
           HostView(std::as_const(positions).data(), tokens), heads, head, stride, 10000, true,
           stream);
    return out;
  });
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t i = 0; i < head / 2; ++i) {
        const double angle = positions[static_cast<size_t>(t)] *
                             std::pow(10000.0, -2.0 * static_cast<double>(i) / head);
        const auto a = static_cast<size_t>(t * stride + h * head + i), b = a + head / 2;
        EXPECT_NEAR(y[a], x[a] * std::cos(angle) - x[b] * std::sin(angle), 1e-6);
        EXPECT_NEAR(y[b], x[a] * std::sin(angle) + x[b] * std::cos(angle), 1e-6);
      }
    }
    for (int64_t i = heads * head; i < stride; ++i)
      EXPECT_EQ(y[static_cast<size_t>(t * stride + i)], x[static_cast<size_t>(t * stride + i)]);
  }
  EXPECT_LT(testing::RelativeError(back, x), 1e-6);
}

}  // namespace
}  // namespace moat::tensor
