// Parameters, activations and FLOPs of a model, from its configuration.
#include "model/architecture/architecture.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/attention_shape.h"
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
    const auto query = [&](core::Shape shape, int dim) {
      return SplitSpec::SplitPieces(std::move(shape), dim, c_.heads);
    };
    const auto key = [&](core::Shape shape) {
      return SplitSpec::SplitPieces(std::move(shape), 0, c_.kv_heads, SplitSpec::Fit::kShared);
    };
    Matrix(layer + "attention.wq", query({q, c_.width}, 0));
    Matrix(layer + "attention.wk", key({kv, c_.width}));
    Matrix(layer + "attention.wv", key({kv, c_.width}));
    Bias(layer + "attention.bq", query({q}, 0));
    Bias(layer + "attention.bk", key({kv}));
    Bias(layer + "attention.bv", key({kv}));
    Matrix(layer + "attention.wo", query({c_.width, q}, 1), residual);
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

struct LinearExtents {
  int64_t in = 0, out = 0;
};

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

// Codes of one linear layer at a time: its input, its weight, and its output's gradient in both
// layouts. Scales of inputs and weights are kept from the forward pass to the backward one.
void AddFloat8(const configs::ModelConfig& c, int64_t tokens,
               const std::vector<LinearExtents>& linears, PlanBuilder* plan) {
  LinearExtents widest;
  const auto scales = c.layers * std::ssize(linears);
  int64_t weight = 0;
  for (const auto& [in, out] : linears) {
    widest = {std::max(widest.in, in), std::max(widest.out, out)};
    weight = std::max(weight, in * out);
  }
  plan->Add("float8.input", tokens * widest.in, core::DType::kE4M3);
  plan->Add("float8.weight", weight, core::DType::kE4M3);
  plan->Add("float8.gradient", tokens * widest.out, core::DType::kE5M2);
  plan->Add("float8.gradient.transposed", tokens * widest.out, core::DType::kE5M2);
  plan->Add("float8.input.scales", scales);
  plan->Add("float8.weight.scales", scales);
  plan->Add("float8.gradient.scale", 1);
}

}  // namespace

std::vector<Parameter> ParameterTable(const configs::ModelConfig& c) {
  TableBuilder table(c);
  const auto vocabulary = SplitSpec::Split({c.vocab_size, c.width}, 0, SplitSpec::Fit::kUneven);
  table.Matrix("embedding", vocabulary);
  if (c.position == configs::Position::kLearned) {
    table.Matrix("position", SplitSpec::Replicated({c.seq_len, c.width}));
  }
  for (int64_t l = 0; l < c.layers; ++l) table.Layer("layers." + std::to_string(l) + ".");
  table.Norm("final_norm");
  if (!c.tie_embeddings) table.Matrix("output", vocabulary);
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

int64_t ProductParameterCount(const configs::ModelConfig& c) {
  int64_t products = 0;
  for (const Parameter& p : ParameterTable(c)) {
    // An untied embedding is only looked up; a tied one is the output product, too.
    const bool looked_up = p.name == "position" || (p.name == "embedding" && !c.tie_embeddings);
    if (p.split.global.rank() == 2 && !looked_up) products += p.split.global.elements();
  }
  return products;
}

double FlopsPerToken(const configs::ModelConfig& c) {
  return 6.0 * static_cast<double>(ProductParameterCount(c)) +
         6.0 * static_cast<double>(c.layers * c.width * c.seq_len);
}

const ActivationBuffer& ActivationPlan::at(const std::string& name) const {
  const auto found =
      std::find_if(buffers.begin(), buffers.end(), [&](const auto& b) { return b.name == name; });
  MOAT_CHECK(found != buffers.end(), "no activation named " + name);
  return *found;
}

std::string LayerBufferName(configs::Recompute recompute, int64_t layer, const std::string& what) {
  static const std::set<std::string> inner = {"qkv", "attention", "log_sum", "ffn_in", "ffn"};
  const bool shared = recompute == configs::Recompute::kInner
                          ? inner.contains(what)
                          : recompute == configs::Recompute::kBlock && what != "input";
  return shared ? "recomputed." + what : "layers." + std::to_string(layer) + "." + what;
}

ActivationPlan PlanActivations(const configs::ModelConfig& c, const PlanOptions& o) {
  configs::ValidateTensorSplit(c, o.tp, o.sequence_parallel);
  const bool float8 = o.matmul_dtype == configs::MatmulDType::kFp8;
  if (float8) configs::ValidateFloat8(c, o.tp);
  const bool sequence_parallel = o.sequence_parallel && o.tp > 1;
  const int64_t tokens = o.rows * c.seq_len;
  const int64_t here = sequence_parallel ? tokens / o.tp : tokens;
  const int64_t heads = c.heads / o.tp, kv_heads = std::max<int64_t>(1, c.kv_heads / o.tp);
  const int64_t ffn = c.ffn / o.tp, vocabulary = (c.vocab_size + o.tp - 1) / o.tp;
  const int64_t q = heads * c.head_width(), qkv = q + 2 * kv_heads * c.head_width();
  const int64_t in = (c.mlp == configs::Mlp::kSwiglu ? 2 : 1) * ffn;
  const int64_t means = c.norm == configs::Norm::kLayer ? here : 0;
  const bool rounded = o.dtype != core::DType::kF32;
  PlanBuilder plan;
  for (const char* name : {"tokens", "targets", "span_start", "positions"}) {
    plan.Add(name, tokens, core::DType::kI32);
  }
  const auto add_norm = [&](const auto& add, const std::string& name) {
    add(name + ".mean", means, core::DType::kF32);
    add(name + ".inverse", here, core::DType::kF32);
    add(name, here * c.width, o.dtype);
  };
  // What the backward pass needs again. Shared buffers are planned with the first layer.
  for (int64_t l = 0; l < c.layers; ++l) {
    const auto add = [&](const std::string& what, int64_t elements,
                         core::DType dtype = core::DType::kF32) {
      const std::string name = LayerBufferName(o.recompute, l, what);
      if (l == 0 || name.starts_with("layers.")) plan.Add(name, elements, dtype);
    };
    add("input", here * c.width, o.dtype);
    add_norm(add, "attention_norm");
    add("qkv", tokens * qkv, o.dtype);
    add("attention", tokens * q, o.dtype);
    add("log_sum", tokens * heads);
    add("middle", here * c.width, o.dtype);
    add_norm(add, "ffn_norm");
    add("ffn_in", tokens * in, o.dtype);
    add("ffn", tokens * ffn, o.dtype);
  }
  plan.Add("final.input", here * c.width, o.dtype);
  add_norm([&](const std::string& name, int64_t elements,
               core::DType dtype) { plan.Add(name, elements, dtype); },
           "final_norm");
  plan.Add("weights", tokens);
  plan.Add("losses", tokens);
  const LossChunks chunks = LossChunksOn(o.device);
  const int64_t loss_rows = std::min(tokens, chunks.logits);
  plan.Add("logits", loss_rows * vocabulary);
  plan.Add("gradient.logits", std::min(tokens, chunks.gradients) * vocabulary, o.dtype);
  plan.Add("statistics", o.tp > 1 ? loss_rows * kLossStatistics : 0);
  plan.Add("statistics.all", o.tp > 1 ? loss_rows * kLossStatistics * o.tp : 0);
  plan.Add("branch", here * c.width, o.dtype);  // a layer's output before it joins the residual
  plan.Add("gradient", here * c.width, o.dtype);
  plan.Add("gradient.branch", here * c.width, o.dtype);
  plan.Add("gradient.qkv", tokens * qkv, o.dtype);
  plan.Add("gradient.attention", tokens * q, o.dtype);
  plan.Add("gradient.ffn_in", tokens * in, o.dtype);
  plan.Add("gradient.ffn", c.mlp == configs::Mlp::kSwiglu ? tokens * ffn : 0, o.dtype);
  const bool scratch = o.tp > 1 && (rounded || sequence_parallel);
  plan.Add("partial_sums", scratch ? tokens * c.width : 0);  // tensor ranks add in f32
  plan.Add("whole", scratch ? tokens * c.width : 0, o.dtype);
  const int64_t norms = sequence_parallel ? 2 * c.width : 0;
  const int64_t copied = o.tp > c.kv_heads ? qkv * (c.width + 1) : 0;
  plan.Add("gradient.parameter", std::max(norms, copied));  // before tensor ranks add it up
  if (float8)
    AddFloat8(c, tokens, {{c.width, qkv}, {q, c.width}, {c.width, in}, {ffn, c.width}}, &plan);
  const core::AttentionShape attention{o.rows,   c.seq_len,      heads,
                                       kv_heads, c.head_width(), kAttentionTile};
  plan.Add("attention.workspace",
           core::AttentionWorkspace(attention, o.dtype, o.device, o.threads));
  return plan.Take();
}

}  // namespace moat::model
