// Embeddings and rotary positions on every device.
#include "tests/gpu/conformance.h"

namespace moat {
namespace {

using testing::Place;
using testing::RandomValues;

class EmbeddingTest : public testing::ConformanceTest {};
MOAT_ON_EVERY_DEVICE(EmbeddingTest);

// Many of some tokens, none of others; some outside of the part [first, first + rows) of the table.
std::vector<int32_t> Tokens(int64_t count, int64_t first, int64_t rows) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) {
    const float u = core::RandomUniform(3, static_cast<uint64_t>(i));
    ids.push_back(static_cast<int32_t>(u * u * static_cast<float>(first + rows + 3)));
  }
  return ids;
}

struct Case {
  int64_t tokens, width, first, rows;
};
// More tokens than are listed at once, more rows than buckets, more columns than a block's.
const Case kCases[] = {{5, 130, 0, 7}, {2500, 8, 2, 5}, {300, 5, 1, 1500}, {40, 1032, 3, 9}};

TEST_P(EmbeddingTest, GathersTheRowsThatAreHere) {
  for (const Case& c : kCases) {
    for (const bool accumulate : {false, true}) {
      const int64_t n = c.tokens * c.width;
      ExpectAgrees("Embed of width " + std::to_string(c.width), [&](Place& at) {
        const auto table = at.In(RandomValues("table", c.rows * c.width));
        const auto y = accumulate ? at.Out(RandomValues("y", n)) : at.Out(n);
        tensor::Embed(at.InI32(Tokens(c.tokens, c.first, c.rows)), table, c.first, y, c.width,
                      accumulate, at.stream());
      });
    }
  }
}

TEST_P(EmbeddingTest, AddsGradientsInTheOrderOfTokensToTheBit) {
  for (const Case& c : kCases) {
    const auto ids = Tokens(c.tokens, c.first, c.rows);
    const auto gradient = [&](Place& at) {
      const auto dy = at.In(RandomValues("dy", c.tokens * c.width));
      tensor::EmbedGrad(at.InI32(ids), dy, at.OutF32(RandomValues("start", c.rows * c.width)),
                        c.first, c.width, at.stream());
    };
    ExpectAgrees("EmbedGrad of width " + std::to_string(c.width), gradient, {.f32_results = 1});
    tensor::Stream cpu;
    Place there(core::DeviceKind::kCpu, core::DType::kF32, core::DType::kF32, 0, cpu);
    Place here(device(), core::DType::kF32, core::DType::kF32, 0, stream());
    gradient(there);
    gradient(here);
    EXPECT_TRUE(testing::SameBits(here.Results()[0], there.Results()[0])) << c.width;
  }
}

TEST_P(EmbeddingTest, RotatesNearAndFarPositionsAndBack) {
  struct Heads {
    int64_t heads, head_width, stride;
  };
  const std::vector<int32_t> positions = {0, 1, 5, 1000, 131071, 5, 77777};
  for (const Heads& h : {Heads{2, 6, 20}, Heads{3, 64, 320}, Heads{1, 272, 280}}) {
    for (const bool inverse : {false, true}) {
      const int64_t n = std::ssize(positions) * h.stride;
      ExpectAgrees("Rotate of width " + std::to_string(h.head_width), [&](Place& at) {
        tensor::Rotate(at.Out(RandomValues("x", n)), at.InI32(positions), h.heads, h.head_width,
                       h.stride, 10000, inverse, at.stream());
      });
    }
  }
}

}  // namespace
}  // namespace moat
