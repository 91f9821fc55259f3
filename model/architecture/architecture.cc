// Parameters, activations and FLOPs of a model, from its configuration.
#include "model/architecture/architecture.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace moat::model {
namespace {

using parallel::SplitSpec;

constexpr double kDeviation = 0.02;

Parameter Matrix(std::string name, SplitSpec split, double deviation = kDeviation) {
  return {std::move(name), std::move(split), Init::kNormal, deviation, true};
}

Parameter NormWeight(std::string name, int64_t width) {
  return {std::move(name), SplitSpec::Replicated({width}), Init::kOnes, 0, false};
}

class PlanBuilder {
 public:
  void Add(std::string name, int64_t elements, core::DType dtype = core::DType::kF32) {
    constexpr int64_t kAlignment = 64;
    plan_.buffers.push_back({std::move(name), elements, dtype, plan_.total.value});
    const int64_t bytes = elements * core::SizeOf(dtype);
    plan_.total += core::Bytes((bytes + kAlignment - 1) / kAlignment * kAlignment);
  }
  ActivationPlan Take() { return std::move(plan_); }

 private:
  ActivationPlan plan_;
};

}  // namespace

std::vector<Parameter> ParameterTable(const configs::ModelConfig& c) {
  const int64_t q = c.heads * c.head_width();
  const int64_t kv = c.kv_heads * c.head_width();
  const double residual = kDeviation / std::sqrt(2.0 * static_cast<double>(c.layers));
  std::vector<Parameter> table;
  table.push_back(Matrix("embedding", SplitSpec::Split({c.vocab_size, c.width}, 0)));
  for (int64_t l = 0; l < c.layers; ++l) {
    const std::string layer = "layers." + std::to_string(l) + ".";
    table.push_back(NormWeight(layer + "attention_norm", c.width));
    table.push_back(Matrix(layer + "attention.wq", SplitSpec::Split({q, c.width}, 0)));
    table.push_back(Matrix(layer + "attention.wk", SplitSpec::Split({kv, c.width}, 0)));
    table.push_back(Matrix(layer + "attention.wv", SplitSpec::Split({kv, c.width}, 0)));
    table.push_back(Matrix(layer + "attention.wo", SplitSpec::Split({c.width, q}, 1), residual));
    table.push_back(NormWeight(layer + "ffn_norm", c.width));
    table.push_back(Matrix(layer + "ffn.w_gate", SplitSpec::Split({c.ffn, c.width}, 0)));
    table.push_back(Matrix(layer + "ffn.w_up", SplitSpec::Split({c.ffn, c.width}, 0)));
    table.push_back(Matrix(layer + "ffn.w_down", SplitSpec::Split({c.width, c.ffn}, 1), residual));
  }
  table.push_back(NormWeight("final_norm", c.width));
  if (!c.tie_embeddings) {
    table.push_back(Matrix("output", SplitSpec::Split({c.vocab_size, c.width}, 0)));
  }
  return table;
}

int64_t ParameterCount(const configs::ModelConfig& config) {
  int64_t count = 0;
  for (const Parameter& parameter : ParameterTable(config)) {
    count += parameter.split.global.elements();
  }
  return count;
}

std::vector<FlatRange> FlatLayout(const std::vector<Parameter>& table, int tp_index, int tp) {
  std::vector<FlatRange> layout;
  int64_t at = 0;
  for (const Parameter& parameter : table) {
    const int64_t count = parallel::LocalSlice(parameter.split, tp_index, tp).elements();
    layout.push_back({at, count});
    at += count;
  }
  return layout;
}

double FlopsPerToken(const configs::ModelConfig& c) {
  // An untied embedding is only looked up; a tied one is the output product, too.
  const int64_t products = ParameterCount(c) - (c.tie_embeddings ? 0 : c.vocab_size * c.width);
  return 6.0 * static_cast<double>(products) +
         6.0 * static_cast<double>(c.layers * c.width * c.seq_len);
}

const ActivationBuffer& ActivationPlan::at(const std::string& name) const {
  const auto found =
      std::find_if(buffers.begin(), buffers.end(), [&](const auto& b) { return b.name == name; });
  MOAT_CHECK(found != buffers.end(), "no activation named " + name);
  return *found;
}

ActivationPlan PlanActivations(const configs::ModelConfig& c, int64_t rows, int threads) {
  const int64_t tokens = rows * c.seq_len;
  const int64_t q = c.heads * c.head_width();
  const int64_t qkv = q + 2 * c.kv_heads * c.head_width();
  PlanBuilder plan;
  for (const char* name : {"tokens", "targets", "span_start", "positions"}) {
    plan.Add(name, tokens, core::DType::kI32);
  }
  for (int64_t l = 0; l < c.layers; ++l) {  // what the backward pass needs again
    const std::string layer = "layers." + std::to_string(l) + ".";
    plan.Add(layer + "input", tokens * c.width);
    plan.Add(layer + "attention_norm.inverse", tokens);
    plan.Add(layer + "attention_norm", tokens * c.width);
    plan.Add(layer + "qkv", tokens * qkv);
    plan.Add(layer + "attention", tokens * q);
    plan.Add(layer + "log_sum", tokens * c.heads);
    plan.Add(layer + "middle", tokens * c.width);
    plan.Add(layer + "ffn_norm.inverse", tokens);
    plan.Add(layer + "ffn_norm", tokens * c.width);
    plan.Add(layer + "gate_up", tokens * 2 * c.ffn);
    plan.Add(layer + "ffn", tokens * c.ffn);
  }
  plan.Add("final.input", tokens * c.width);
  plan.Add("final_norm.inverse", tokens);
  plan.Add("final_norm", tokens * c.width);
  plan.Add("weights", tokens);
  plan.Add("losses", tokens);
  plan.Add("logits", std::min(tokens, kLossRows) * c.vocab_size);
  plan.Add("branch", tokens * c.width);  // a layer's output before it joins the residual stream
  plan.Add("gradient", tokens * c.width);
  plan.Add("gradient.branch", tokens * c.width);
  plan.Add("gradient.qkv", tokens * qkv);
  plan.Add("gradient.attention", tokens * q);
  plan.Add("gradient.gate_up", tokens * 2 * c.ffn);
  plan.Add("gradient.ffn", tokens * c.ffn);
  plan.Add("attention.workspace", threads * (2 * kAttentionTile * c.seq_len + kAttentionTile));
  return plan.Take();
}

}  // namespace moat::model
