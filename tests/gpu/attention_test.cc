// Attention, forward, backward and against a cache, on every device.
#include "tests/gpu/conformance.h"
#include "tests/gpu/spans.h"

namespace moat {
namespace {

using tensor::AttentionShape;
using testing::Place;
using testing::RandomValues;

class AttentionTest : public testing::ConformanceTest {};
MOAT_ON_EVERY_DEVICE(AttentionTest);

std::string NameOf(const AttentionShape& s) {
  return "attention over " + std::to_string(s.seq_len) + " slots, heads " +
         std::to_string(s.heads) + "/" + std::to_string(s.kv_heads) + " of " +
         std::to_string(s.head_width);
}

// One slot, less than a tile, a tile and a slot, several tiles; heads of widths that fill a tile
// and that do not; groups of heads.
const AttentionShape kShapes[] = {{2, 1, 1, 1, 4, 64},   {2, 37, 4, 2, 6, 64},
                                  {2, 65, 3, 1, 64, 64}, {2, 150, 2, 2, 16, 64},
                                  {1, 80, 2, 1, 72, 64}, {1, 70, 1, 1, 136, 64}};

TEST_P(AttentionTest, SeesTheSlotsOfItsSpanForwardAndBackward) {
  for (const AttentionShape& s : kShapes) {
    const int64_t slots = s.rows * s.seq_len, width = s.heads * s.head_width;
    const int64_t qkv_count = slots * (s.heads + 2 * s.kv_heads) * s.head_width;
    ExpectAgrees(NameOf(s),
                 [&](Place& at) {
                   const auto spans = at.InI32(testing::UnevenSpans(s, 13));
                   const auto qkv = at.In(RandomValues("qkv", qkv_count, 2));
                   const auto out = at.Out(slots * width), dqkv = at.Out(qkv_count);
                   const auto dout = at.In(RandomValues("dout", slots * width));
                   const auto log_sum = at.OutF32(slots * s.heads);
                   const auto workspace =
                       at.Scratch(core::AttentionWorkspace(s, at.dtype(), at.stream().device(), 1));
                   tensor::Attention(s, spans, qkv, out, log_sum, workspace, at.stream());
                   tensor::AttentionGrad(s, spans, qkv, out, log_sum, dout, dqkv, workspace,
                                         at.stream());
                 },
                 {.f32_results = 1});
  }
}

TEST_P(AttentionTest, AttendsToACache) {
  struct Case {
    int64_t heads, kv_heads, head_width, length;
  };
  for (const Case& c : {Case{4, 2, 6, 1}, Case{4, 2, 64, 23}, Case{2, 1, 200, 70}}) {
    const int64_t kv = c.kv_heads * c.head_width, q = c.heads * c.head_width;
    ExpectAgrees("a cache of " + std::to_string(c.length), [&](Place& at) {
      tensor::AttentionCached(at.In(RandomValues("q", q, 2)),
                              at.In(RandomValues("k", c.length * kv, 2)),
                              at.In(RandomValues("v", c.length * kv)), at.Out(q), c.heads,
                              c.kv_heads, c.head_width, at.stream());
    });
  }
}

}  // namespace
}  // namespace moat
