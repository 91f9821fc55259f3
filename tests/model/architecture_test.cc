// Parameters, layouts, activation plans and counts of models.
#include "model/architecture/architecture.h"

#include <gtest/gtest.h>

#include "configs/command_line.h"
#include "core/attention_shape.h"
#include "core/error.h"
#include "model/architecture/memory_plan.h"
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
  even.ffn = 30;
  const auto even_table = ParameterTable(even);
  for (int tp_index : {0, 1}) {
    for (const FlatRange& r : FlatLayout(even_table, tp_index, 2)) halves += r.count;
  }
  for (const Parameter& p : even_table)
    replicated += p.split.dim < 0 ? p.split.global.elements() : 0;
  EXPECT_EQ(halves, ParameterCount(even) + replicated);
  EXPECT_THROW(FlatLayout(table, 0, 2), core::ConfigError);  // ffn = 29 does not split
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

// Radford et al., 2019; the 1B model of Grattafiori et al., 2024.
TEST(Architecture, PresetsHaveThePublishedNumbersOfParameters) {
  const std::vector<std::tuple<std::string, int64_t, int64_t>> published = {
      {"gpt2_124m", 50257, 124439808},
      {"gpt2_350m", 50257, 354823168},
      {"gpt2_774m", 50257, 774030080},
      {"gpt2_1558m", 50257, 1557611200},
      {"llama_1b", 128256, 1235814400}};
  for (const auto& [preset, vocabulary, count] : published) {
    const std::string file = std::string(MOAT_SOURCE_DIR) + "/configs/" + preset + ".flags";
    const auto line =
        configs::CommandLine::Parse("train", {"--flagfile=" + file, "--data=d", "--run=r",
                                              "--vocab_size=" + std::to_string(vocabulary)});
    EXPECT_EQ(ParameterCount(configs::TrainConfigFromFlags(line).model), count) << preset;
  }
}

TEST(Architecture, OnlyMatricesDecay) {
  for (const configs::ModelConfig& config : testing::TinyFamilies()) {
    for (const Parameter& p : ParameterTable(config)) {
      EXPECT_EQ(p.decays, p.split.global.rank() == 2) << p.name;
    }
  }
}

TEST(Architecture, EveryParameterIsInTheIndexOnceOrInAGroupOfNeighbours) {
  for (const configs::ModelConfig& config : testing::TinyFamilies()) {
    const auto table = ParameterTable(config);
    const ParameterIndex index = IndexParameters(config, table);
    std::vector<int> seen(table.size());
    const auto mark = [&](int first, int count) {
      for (int i = 0; first != kAbsent && i < count; ++i) ++seen[static_cast<size_t>(first + i)];
    };
    for (const int p : {index.embedding, index.position, index.final_norm, index.final_norm_bias,
                        config.tie_embeddings ? kAbsent : index.output}) {
      mark(p, 1);
    }
    for (const LayerIndex& at : index.layers) {
      for (const int p : {at.attention_norm, at.attention_norm_bias, at.wo, at.bo, at.ffn_norm,
                          at.ffn_norm_bias, at.w_down, at.b_down}) {
        mark(p, 1);
      }
      mark(at.wq, 3);
      mark(at.bq, 3);
      mark(at.w_in, at.in_count);
      mark(at.b_in, at.in_count);
    }
    for (size_t p = 0; p < table.size(); ++p) EXPECT_EQ(seen[p], 1) << table[p].name;
  }
}

TEST(ActivationPlan, TensorRanksShareTheLayersAndWithSequenceParallelismWhatIsBetweenThem) {
  configs::ModelConfig c = testing::TinyConfig();
  c.ffn = 64;
  c.seq_len = 64;
  c.vocab_size = 50001;
  const ActivationPlan whole = PlanActivations(c, {.rows = 4});
  const ActivationPlan split = PlanActivations(c, {.rows = 4, .tp = 2});
  const ActivationPlan cut = PlanActivations(c, {.rows = 4, .tp = 2, .sequence_parallel = true});
  for (const char* name : {"layers.1.qkv", "layers.1.attention", "layers.1.ffn_in"}) {
    EXPECT_EQ(split.at(name).elements, whole.at(name).elements / 2) << name;
    EXPECT_EQ(cut.at(name).elements, whole.at(name).elements / 2) << name;
  }
  EXPECT_EQ(split.at("logits").elements, LossChunksOn(core::DeviceKind::kCpu).logits * 25001);
  for (const char* name : {"layers.1.input", "layers.1.middle", "layers.1.ffn_norm",
                           "layers.1.ffn_norm.inverse", "final.input", "branch", "gradient"}) {
    EXPECT_EQ(split.at(name).elements, whole.at(name).elements) << name;
    EXPECT_EQ(cut.at(name).elements, whole.at(name).elements / 2) << name;
  }
}

TEST(MemoryPlan, TensorRanksHaveHalfAndZeroRanksTheirShare) {
  for (const std::string preset : {"gpt2_124m", "llama_1b"}) {
    const std::string file = std::string(MOAT_SOURCE_DIR) + "/configs/" + preset + ".flags";
    const auto line = configs::CommandLine::Parse(
        "train", {"--flagfile=" + file, "--data=d", "--run=r", "--vocab_size=50257"});
    const configs::ModelConfig config = configs::TrainConfigFromFlags(line).model;
    const auto plan = [&](int tp, int dp, bool sharded) {
      MemoryOptions options;
      options.passes.dtype = core::DType::kBF16;
      options.passes.tp = tp;
      options.dp = dp;
      options.sharded = sharded;
      return PlanMemory(config, options);
    };
    const auto ratio = [](core::Bytes part, core::Bytes whole) {
      return static_cast<double>(part.value) / static_cast<double>(whole.value);
    };
    for (const char* name : {"weights", "gradients", "optimizer"}) {
      EXPECT_NEAR(ratio(plan(2, 1, false).of(name), plan(1, 1, false).of(name)), 0.5, 0.025)
          << name;
    }
    for (const int dp : {2, 4, 8}) {  // moments, and master weights that stood with the weights
      EXPECT_NEAR(ratio(plan(1, dp, true).of("optimizer"), plan(1, 1, false).of("optimizer")) * dp,
                  1.5, 0.03);
    }
  }
}

TEST(ActivationPlan, BuffersAreAlignedDisjointAndSmall) {
  configs::ModelConfig c = testing::TinyConfig();
  c.seq_len = 4096;
  c.vocab_size = 50000;
  const ActivationPlan plan = PlanActivations(c, {2, 4});
  int64_t end = 0;
  for (const ActivationBuffer& b : plan.buffers) {
    EXPECT_EQ(b.offset % 64, 0);
    EXPECT_GE(b.offset, end);
    end = b.offset + b.elements * core::SizeOf(b.dtype);
  }
  EXPECT_LE(end, plan.total.value);
  // Attention never holds more than a few tiles of scores a thread, whatever rows and heads; no
  // logits of all positions.
  EXPECT_LE(plan.at("attention.workspace").elements,
            4 * 2 * (kAttentionTile + c.head_width()) * (c.seq_len + 1));
  EXPECT_EQ(plan.at("logits").elements, 256 * c.vocab_size);
  const ActivationPlan more = PlanActivations(c, {8, 4});
  EXPECT_EQ(more.at("logits").elements, 256 * c.vocab_size);
  EXPECT_EQ(more.at("gradient.logits").elements, 1024 * c.vocab_size);
  const ActivationPlan cuda = PlanActivations(c, {.rows = 8, .device = core::DeviceKind::kCuda});
  EXPECT_EQ(cuda.at("logits").elements, 1024 * c.vocab_size);
  EXPECT_EQ(cuda.at("gradient.logits").elements, 4096 * c.vocab_size);
  EXPECT_EQ(cuda.at("attention.workspace").elements, 0);
  c.width = 32;
  c.ffn = 64;
  const ActivationPlan bf16 = PlanActivations(
      c, {.rows = 8, .dtype = core::DType::kBF16, .tp = 2, .device = core::DeviceKind::kCuda});
  EXPECT_EQ(bf16.at("attention.workspace").elements,
            core::AttentionWorkspace({8, c.seq_len, c.heads / 2, c.kv_heads / 2, 8, 64},
                                     core::DType::kBF16, core::DeviceKind::kCuda, 1));
  EXPECT_GT(bf16.at("attention.workspace").elements, 0);
}

}  // namespace
}  // namespace moat::model
