// Embeddings and rotary positions against references.
#include <gtest/gtest.h>

#include "tensor/ops.h"
#include "tests/tensor/stored_values.h"

namespace moat::tensor {
namespace {

using EmbeddingTest = DTypeTest;

TEST_P(EmbeddingTest, GathersRowsAndAddsGradientsOfRepeatedTokens) {
  const int64_t width = 130, vocab = 7;
  const std::vector<int32_t> ids = {3, 3, 0, 6, 3};
  const auto stored_table = RandomStored(dtype, "table", vocab * width),
             stored_dy = RandomStored(dtype, "dy", 5 * width);
  const auto got = testing::SameForAnyThreads([&](int threads) {
    Stream stream(threads);
    Stored y(dtype, 5 * width);
    std::vector<float> grad(static_cast<size_t>(vocab * width), 0.5f);
    Embed(HostView(ids.data(), 5), stored_table.view(), 0, y.view(), width, false, stream);
    EmbedGrad(HostView(ids.data(), 5), stored_dy.view(), HostView(grad.data(), vocab * width), 0,
              width, stream);
    std::vector<float> both = y.floats();
    both.insert(both.end(), grad.begin(), grad.end());
    return both;
  });
  const auto table = stored_table.floats(), dy = stored_dy.floats();
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

TEST_P(EmbeddingTest, PartsOfATableGiveTheirOwnRowsAndZerosForOthers) {
  const int64_t width = 5;
  const std::vector<int32_t> ids = {3, 1, 0, 4, 3};
  const ConstView tokens = HostView(ids.data(), 5);
  const auto table = RandomStored(dtype, "table", 5 * width), dy = RandomStored(dtype, "dy", 25);
  Stream stream;
  Stored whole(dtype, 25), part(dtype, 25);
  std::vector<float> gradient(25), part_gradient(3 * width);
  Embed(tokens, table.view(), 0, whole.view(), width, false, stream);
  EmbedGrad(tokens, dy.view(), HostView(gradient.data(), 25), 0, width, stream);
  Embed(tokens, table.view().Range(width, 3 * width), 1, part.view(), width, false, stream);
  EmbedGrad(tokens, dy.view(), HostView(part_gradient.data(), 3 * width), 1, width, stream);
  const std::vector<float> from = whole.floats(), got = part.floats();
  for (size_t t = 0; t < 5; ++t) {
    const bool own = ids[t] >= 1 && ids[t] < 4;
    for (size_t i = t * 5; i < t * 5 + 5; ++i) EXPECT_EQ(got[i], own ? from[i] : 0.0f);
  }
  for (size_t i = 0; i < 15; ++i) EXPECT_EQ(part_gradient[i], gradient[5 + i]);
}

TEST_P(EmbeddingTest, AddsWhenAsked) {
  const std::vector<int32_t> ids = {2, 0};
  const auto table = RandomStored(dtype, "table", 3 * 5);
  Stored y(dtype, std::vector<float>(10, 0.25f));
  Stream stream;
  Embed(HostView(ids.data(), 2), table.view(), 0, y.view(), 5, true, stream);
  const auto from = table.floats(),
             want = Stored(dtype, {0.25f + from[10], 0.25f + from[4]}).floats();
  EXPECT_EQ(y.floats()[0], want[0]);
  EXPECT_EQ(y.floats()[9], want[1]);
}

TEST_P(EmbeddingTest, RotateTurnsPairsByPositionTimesFrequencyAndBack) {
  const int64_t heads = 2, head = 6, stride = 20,
                tokens = 9;  // the last 8 of a row are not rotated
  const auto x = RandomStored(dtype, "x", tokens * stride).floats();
  std::vector<int32_t> positions;
  for (int32_t t = 0; t < tokens; ++t) positions.push_back(t * 31 % 17);
  std::vector<float> back;
  const auto y = testing::SameForAnyThreads([&](int threads) {
    Stream stream(threads);
    Stored out(dtype, x);
    const ConstView where = HostView(std::as_const(positions).data(), tokens);
    Rotate(out.view(), where, heads, head, stride, 10000, false, stream);
    std::vector<float> turned = out.floats();
    Rotate(out.view(), where, heads, head, stride, 10000, true, stream);
    back = out.floats();
    return turned;
  });
  const double near = Bound(1e-6, 4e-3);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t i = 0; i < head / 2; ++i) {
        const double angle = positions[static_cast<size_t>(t)] *
                             std::pow(10000.0, -2.0 * static_cast<double>(i) / head);
        const auto a = static_cast<size_t>(t * stride + h * head + i), b = a + head / 2;
        EXPECT_NEAR(y[a], x[a] * std::cos(angle) - x[b] * std::sin(angle), near);
        EXPECT_NEAR(y[b], x[a] * std::sin(angle) + x[b] * std::cos(angle), near);
      }
    }
    for (int64_t i = heads * head; i < stride; ++i)
      EXPECT_EQ(y[static_cast<size_t>(t * stride + i)], x[static_cast<size_t>(t * stride + i)]);
  }
  EXPECT_LT(testing::RelativeError(back, x), Bound(1e-6, 4e-3));
}

MOAT_EVERY_DTYPE(EmbeddingTest);

}  // namespace
}  // namespace moat::tensor
