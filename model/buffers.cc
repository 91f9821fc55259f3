// The transformer's memory as views: parameters bound to layers, the planned arena cut into
// buffers, and their fronts for smaller micro-batches.
#include "model/transformer.h"

namespace moat::model {

using tensor::View;

namespace {

// `count` parameters that stand side by side, as one.
View Neighbours(View flat, const std::vector<FlatRange>& layout, int first, int count) {
  const FlatRange& begin = layout[static_cast<size_t>(first)];
  const FlatRange& end = layout[static_cast<size_t>(first + count - 1)];
  return flat.Range(begin.begin, end.begin + end.count - begin.begin);
}

}  // namespace

View Transformer::weight(int parameter) { return Neighbours(weights(), layout_, parameter, 1); }
View Transformer::gradient(int parameter) { return Neighbours(gradients(), layout_, parameter, 1); }

View Transformer::PassWeight(int first, int count) {
  if (first == kAbsent) return {};
  return Neighbours(pass_weights(), layout_, first, count);
}

View Transformer::GradientGroup(int first, int count) {
  if (first == kAbsent || gradients_.count() == 0) return {};
  return Neighbours(gradients_.view(), layout_, first, count);
}

Linear Transformer::LinearOf(int weight, int bias, int count, int64_t in, int64_t out) {
  return {PassWeight(weight, count),
          PassWeight(bias, count),
          GradientGroup(weight, count),
          GradientGroup(bias, count),
          in,
          out,
          0,
          {}};
}

Norm Transformer::NormOf(int weight, int bias) {
  return {config_.norm,     config_.norm_epsilon,  PassWeight(weight),
          PassWeight(bias), GradientGroup(weight), GradientGroup(bias)};
}

void Transformer::BindParameters() {
  for (const LayerIndex& at : index_.layers) {
    layers_.push_back({NormOf(at.attention_norm, at.attention_norm_bias),
                       LinearOf(at.wq, at.bq, 3, shape_.width, shape_.qkv_width()),
                       LinearOf(at.wo, at.bo, 1, shape_.q_width(), shape_.width),
                       NormOf(at.ffn_norm, at.ffn_norm_bias),
                       LinearOf(at.w_in, at.b_in, at.in_count, shape_.width, shape_.in_width()),
                       LinearOf(at.w_down, at.b_down, 1, shape_.ffn, shape_.width)});
  }
  for (Layer& layer : layers_) layer.qkv.copied = 2 * shape_.kv_heads * shape_.head_width;
  if (matmul_dtype_ == configs::MatmulDType::kFp8) BindFloat8();
  final_norm_ = NormOf(index_.final_norm, index_.final_norm_bias);
}

void Transformer::BindFloat8() {
  int64_t at = 0;
  for (Layer& layer : layers_) {
    for (Linear* linear : {&layer.qkv, &layer.out, &layer.in, &layer.down}) {
      linear->float8 = {Planned("float8.input"),
                        Planned("float8.weight"),
                        Planned("float8.gradient"),
                        Planned("float8.gradient.transposed"),
                        Planned("float8.input.scales").Range(at, 1),
                        Planned("float8.weight.scales").Range(at, 1),
                        Planned("float8.gradient.scale")};
      ++at;
    }
  }
}

View Transformer::Planned(const std::string& name) {
  const ActivationBuffer& buffer = plan_.at(name);
  return {static_cast<char*>(arena_.view().data) + buffer.offset, buffer.elements, buffer.dtype,
          arena_.device()};
}

TensorScratch Transformer::PlannedScratch() {
  return {Planned("partial_sums"), Planned("whole"), Planned("gradient.parameter")};
}

NormOutput Transformer::PlannedNorm(const std::string& name) {
  return {Planned(name), Planned(name + ".mean"), Planned(name + ".inverse")};
}

LayerBuffers Transformer::PlannedLayer(int64_t layer) {
  const auto name = [&](const std::string& what) {
    return LayerBufferName(recompute_, layer, what);
  };
  return {Planned(name("input")),        PlannedNorm(name("attention_norm")),
          Planned(name("qkv")),          Planned(name("attention")),
          Planned(name("log_sum")),      Planned(name("middle")),
          PlannedNorm(name("ffn_norm")), Planned(name("ffn_in")),
          Planned(name("ffn"))};
}

Transformer::CommonBuffers Transformer::PlannedCommon() {
  CommonBuffers at;
  at.tokens = Planned("tokens");
  at.targets = Planned("targets");
  at.span_start = Planned("span_start");
  at.positions = Planned("positions");
  at.weights = Planned("weights");
  at.losses = Planned("losses");
  at.logits = Planned("logits");
  at.gradient_logits = Planned("gradient.logits");
  at.statistics = Planned("statistics");
  at.all_statistics = Planned("statistics.all");
  at.final_input = Planned("final.input");
  at.final_norm = PlannedNorm("final_norm");
  at.branch = Planned("branch");
  at.workspace = Planned("attention.workspace");
  at.gradient = {Planned("gradient"),        Planned("gradient.branch"),
                 Planned("gradient.qkv"),    Planned("gradient.attention"),
                 Planned("gradient.ffn_in"), Planned("gradient.ffn")};
  return at;
}

View Transformer::Front(View view, int64_t rows) const {
  return view.Range(0, view.count * rows / max_rows_);
}

NormOutput Transformer::Front(const NormOutput& output, int64_t rows) const {
  return {Front(output.y, rows), Front(output.mean, rows), Front(output.inverse, rows)};
}

LayerBuffers Transformer::LayerFor(int64_t layer, int64_t rows) const {
  LayerBuffers at = layer_buffers_[static_cast<size_t>(layer)];
  for (View* view :
       {&at.input, &at.qkv, &at.attention, &at.log_sum, &at.middle, &at.ffn_in, &at.ffn}) {
    *view = Front(*view, rows);
  }
  at.attention_norm = Front(at.attention_norm, rows);
  at.ffn_norm = Front(at.ffn_norm, rows);
  return at;
}

Transformer::CommonBuffers Transformer::CommonFor(int64_t rows) const {
  CommonBuffers at = common_;  // all but the logits and the workspace grow with the rows
  GradientBuffers& gradient = at.gradient;
  for (View* view : {&at.tokens, &at.targets, &at.span_start, &at.positions, &at.weights,
                     &at.losses, &at.final_input, &at.branch, &gradient.residual, &gradient.branch,
                     &gradient.qkv, &gradient.attention, &gradient.ffn_in, &gradient.ffn}) {
    *view = Front(*view, rows);
  }
  at.final_norm = Front(at.final_norm, rows);
  return at;
}

}  // namespace moat::model
