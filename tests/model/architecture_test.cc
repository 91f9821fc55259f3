// Parameters, layouts, activation plans and counts of models.
#include "model/architecture/architecture.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tensor/ops.h"
#include "tests/model/tiny_model.h"

namespace moat::model {
namespace {

TEST(Architecture, FlatLayoutHasNoGapsAndSplitsAddUp) {
  const auto table = ParameterTable(testing::TinyConfig());
  int64_t whole = 0, halves = 0, replicated = 0;
  for (const FlatRange& r : FlatLayout(table, 0, 1)) {
    EXPECT_EQ(r.begin, whole);
    whole += r.count;
  }
  EXPECT_EQ(whole, ParameterCount(testing::TinyConfig()));
  configs::ModelConfig even = testing::TinyConfig();
  even.vocab_size = 38;
  even.ffn = 30;
  const auto even_table = ParameterTable(even);
  for (int tp_index : {0, 1}) {
    for (const FlatRange& r : FlatLayout(even_table, tp_index, 2)) halves += r.count;
  }
  for (const Parameter& p : even_table)
    replicated += p.split.replicated() ? p.split.global.elements() : 0;
  EXPECT_EQ(halves, ParameterCount(even) + replicated);
  EXPECT_THROW(FlatLayout(table, 0, 2), core::ConfigError);  // 37 tokens do not split
}

TEST(Architecture, CountsALlamaOfPublishedSize) {
  configs::ModelConfig c;  // TinyLlama 1.1B: 1,100,048,384 parameters
  c.vocab_size = 32000;
  c.layers = 22;
  c.width = 2048;
  c.heads = 32;
  c.kv_heads = 4;
  c.ffn = 5632;
  EXPECT_EQ(ParameterCount(c), 1100048384);
}

TEST(Architecture, OnlyMatricesDecay) {
  for (const Parameter& p : ParameterTable(testing::TinyConfig())) {
    EXPECT_EQ(p.decays, p.split.global.rank() == 2) << p.name;
  }
}

TEST(ActivationPlan, BuffersAreAlignedDisjointAndSmall) {
  configs::ModelConfig c = testing::TinyConfig();
  c.seq_len = 4096;
  c.vocab_size = 50000;
  const ActivationPlan plan = PlanActivations(c, 2, 4);
  int64_t end = 0;
  for (const ActivationBuffer& b : plan.buffers) {
    EXPECT_EQ(b.offset % 64, 0);
    EXPECT_GE(b.offset, end);
    end = b.offset + b.elements * core::SizeOf(b.dtype);
  }
  EXPECT_LE(end, plan.total.value);
  // Attention never holds more than a few tiles of scores a thread, whatever rows and heads; no
  // logits of all positions.
  EXPECT_LE(plan.at("attention.workspace").elements, 4 * 3 * kAttentionTile * c.seq_len);
  EXPECT_EQ(plan.at("attention.workspace").elements,
            tensor::AttentionWorkspace(c.seq_len, kAttentionTile, 4));
  EXPECT_EQ(plan.at("logits").elements, kLossRows * c.vocab_size);
  EXPECT_EQ(PlanActivations(c, 8, 4).at("logits").elements, kLossRows * c.vocab_size);
}

}  // namespace
}  // namespace moat::model
