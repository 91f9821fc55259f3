// Parameters, activations and FLOPs of a model, from its configuration.
#include "model/architecture/architecture.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.h"

namespace moat::model {
namespace {

using parallel::SplitSpec;

constexpr double kDeviation = 0.02;

class TableBuilder {
 public:
  explicit TableBuilder(const configs::ModelConfig& config) : c_(config) {}

  void Matrix(std::string name, SplitSpec split, double deviation = kDeviation) {
    table_.push_back({std::move(name), std::move(split), Init::kNormal, deviation, true});
  }
  void Norm(const std::string& name) {
    const SplitSpec split = SplitSpec::Replicated({c_.width});
    table_.push_back({name, split, Init::kOnes, 0, false});
    if (c_.norm == configs::Norm::kLayer) Bias(name + ".bias", split);
  }
  void Layer(const std::string& layer) {
    const int64_t q = c_.heads * c_.head_width(), kv = c_.kv_heads * c_.head_width();
    const double residual = kDeviation / std::sqrt(2.0 * static_cast<double>(c_.layers));
    Norm(layer + "attention_norm");
    Matrix(layer + "attention.wq", SplitSpec::Split({q, c_.width}, 0));
    Matrix(layer + "attention.wk", SplitSpec::Split({kv, c_.width}, 0));
    Matrix(layer + "attention.wv", SplitSpec::Split({kv, c_.width}, 0));
    Bias(layer + "attention.bq", SplitSpec::Split({q}, 0));
    Bias(layer + "attention.bk", SplitSpec::Split({kv}, 0));
    Bias(layer + "attention.bv", SplitSpec::Split({kv}, 0));
    Matrix(layer + "attention.wo", SplitSpec::Split({c_.width, q}, 1), residual);
    Bias(layer + "attention.bo", SplitSpec::Replicated({c_.width}));
    Norm(layer + "ffn_norm");
    const bool gated = c_.mlp == configs::Mlp::kSwiglu;
    if (gated) Matrix(layer + "ffn.w_gate", SplitSpec::Split({c_.ffn, c_.width}, 0));
    Matrix(layer + "ffn.w_up", SplitSpec::Split({c_.ffn, c_.width}, 0));
    if (gated) Bias(layer + "ffn.b_gate", SplitSpec::Split({c_.ffn}, 0));
    Bias(layer + "ffn.b_up", SplitSpec::Split({c_.ffn}, 0));
    Matrix(layer + "ffn.w_down", SplitSpec::Split({c_.width, c_.ffn}, 1), residual);
    Bias(layer + "ffn.b_down", SplitSpec::Replicated({c_.width}));
  }
  std::vector<Parameter> Take() { return std::move(table_); }

 private:
  void Bias(std::string name, SplitSpec split) {
    if (c_.bias) table_.push_back({std::move(name), std::move(split), Init::kZeros, 0, false});
  }

  const configs::ModelConfig& c_;
  std::vector<Parameter> table_;
};

// The share of `extent` that one tensor rank holds.
int64_t Share(const char* what, int64_t extent, int tp) {
  if (extent % tp != 0) {
    throw core::ConfigError(std::string(what) + " / tp = " + std::to_string(extent) + " / " +
                            std::to_string(tp) + " is not whole; choose a --tp that divides it");
  }
  return extent / tp;
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
  TableBuilder table(c);
  table.Matrix("embedding", SplitSpec::Replicated({c.vocab_size, c.width}));
  if (c.position == configs::Position::kLearned) {
    table.Matrix("position", SplitSpec::Replicated({c.seq_len, c.width}));
  }
  for (int64_t l = 0; l < c.layers; ++l) table.Layer("layers." + std::to_string(l) + ".");
  table.Norm("final_norm");
  if (!c.tie_embeddings) table.Matrix("output", SplitSpec::Replicated({c.vocab_size, c.width}));
  return table.Take();
}

ParameterIndex IndexParameters(const configs::ModelConfig& config,
                               const std::vector<Parameter>& table) {
  std::map<std::string, int> by_name;
  for (size_t p = 0; p < table.size(); ++p) by_name[table[p].name] = static_cast<int>(p);
  const auto find = [&](const std::string& name) {
    const auto found = by_name.find(name);
    return found == by_name.end() ? kAbsent : found->second;
  };
  ParameterIndex index;
  index.embedding = find("embedding");
  index.position = find("position");
  const bool gated = config.mlp == configs::Mlp::kSwiglu;
  for (int64_t l = 0; l < config.layers; ++l) {
    const std::string layer = "layers." + std::to_string(l) + ".";
    index.layers.push_back({find(layer + "attention_norm"), find(layer + "attention_norm.bias"),
                            find(layer + "attention.wq"), find(layer + "attention.bq"),
                            find(layer + "attention.wo"), find(layer + "attention.bo"),
                            find(layer + "ffn_norm"), find(layer + "ffn_norm.bias"),
                            find(layer + (gated ? "ffn.w_gate" : "ffn.w_up")),
                            find(layer + (gated ? "ffn.b_gate" : "ffn.b_up")),
                            find(layer + "ffn.w_down"), find(layer + "ffn.b_down"), gated ? 2 : 1});
  }
  index.final_norm = find("final_norm");
  index.final_norm_bias = find("final_norm.bias");
  index.output = config.tie_embeddings ? index.embedding : find("output");
  return index;
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
  int64_t products = 0;
  for (const Parameter& p : ParameterTable(c)) {
    // An untied embedding is only looked up; a tied one is the output product, too.
    const bool looked_up = p.name == "position" || (p.name == "embedding" && !c.tie_embeddings);
    if (p.split.global.rank() == 2 && !looked_up) products += p.split.global.elements();
  }
  return 6.0 * static_cast<double>(products) +
         6.0 * static_cast<double>(c.layers * c.width * c.seq_len);
}

const ActivationBuffer& ActivationPlan::at(const std::string& name) const {
  const auto found =
      std::find_if(buffers.begin(), buffers.end(), [&](const auto& b) { return b.name == name; });
  MOAT_CHECK(found != buffers.end(), "no activation named " + name);
  return *found;
}

ActivationPlan PlanActivations(const configs::ModelConfig& c, const PlanOptions& o) {
  const int64_t tokens = o.rows * c.seq_len;
  const int64_t heads = Share("heads", c.heads, o.tp), ffn = Share("ffn", c.ffn, o.tp);
  const int64_t q = heads * c.head_width();
  const int64_t qkv = q + 2 * Share("kv_heads", c.kv_heads, o.tp) * c.head_width();
  const int64_t in = (c.mlp == configs::Mlp::kSwiglu ? 2 : 1) * ffn;
  const int64_t means = c.norm == configs::Norm::kLayer ? tokens : 0;
  const bool rounded = o.dtype != core::DType::kF32;
  PlanBuilder plan;
  for (const char* name : {"tokens", "targets", "span_start", "positions"}) {
    plan.Add(name, tokens, core::DType::kI32);
  }
  const auto norm = [&](const std::string& name) {
    plan.Add(name + ".mean", means);
    plan.Add(name + ".inverse", tokens);
    plan.Add(name, tokens * c.width, o.dtype);
  };
  for (int64_t l = 0; l < c.layers; ++l) {  // what the backward pass needs again
    const std::string layer = "layers." + std::to_string(l) + ".";
    plan.Add(layer + "input", tokens * c.width, o.dtype);
    norm(layer + "attention_norm");
    plan.Add(layer + "qkv", tokens * qkv, o.dtype);
    plan.Add(layer + "attention", tokens * q, o.dtype);
    plan.Add(layer + "log_sum", tokens * heads);
    plan.Add(layer + "middle", tokens * c.width, o.dtype);
    norm(layer + "ffn_norm");
    plan.Add(layer + "ffn_in", tokens * in, o.dtype);
    plan.Add(layer + "ffn", tokens * ffn, o.dtype);
  }
  plan.Add("final.input", tokens * c.width, o.dtype);
  norm("final_norm");
  plan.Add("weights", tokens);
  plan.Add("losses", tokens);
  plan.Add("logits", std::min(tokens, kLossRows) * c.vocab_size);
  plan.Add("gradient.logits", std::min(tokens, kLossGradientRows) * c.vocab_size, o.dtype);
  plan.Add("branch", tokens * c.width, o.dtype);  // a layer's output before it joins the residual
  plan.Add("gradient", tokens * c.width, o.dtype);
  plan.Add("gradient.branch", tokens * c.width, o.dtype);
  plan.Add("gradient.qkv", tokens * qkv, o.dtype);
  plan.Add("gradient.attention", tokens * q, o.dtype);
  plan.Add("gradient.ffn_in", tokens * in, o.dtype);
  plan.Add("gradient.ffn", tokens * ffn, o.dtype);
  plan.Add("partial_sums", o.tp > 1 && rounded ? tokens * c.width : 0);  // tensor ranks add in f32
  plan.Add("attention.workspace",
           o.threads * (2 * c.seq_len * (kAttentionTile + c.head_width()) + 2 * kAttentionTile));
  return plan.Take();
}

}  // namespace moat::model
