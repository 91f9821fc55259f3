// A transformer layer, forward and backward.
#include "model/layer.h"

#include <algorithm>

namespace moat::model {

using tensor::ConstView;
using tensor::DropoutKey;
using tensor::View;

namespace {

void Rotate(const LayerContext& c, View qkv, bool inverse) {
  if (c.shape.position != configs::Position::kRotary) return;
  tensor::Rotate(qkv, c.positions, c.shape.heads + c.shape.kv_heads, c.shape.head_width,
                 c.shape.qkv_width(), c.shape.rotary_base, inverse, c.stream);
}

// The gradient of what dropout let through: the residual's own where nothing was dropped.
ConstView Dropped(const LayerContext& c, const GradientBuffers& gradient,
                  const DropoutKey& dropout) {
  if (dropout.rate == 0) return gradient.residual;
  tensor::Copy(gradient.residual, gradient.branch, c.stream);
  tensor::Dropout(gradient.branch, c.shape.width, dropout, c.stream);
  return gradient.branch;
}

}  // namespace

LayerShape LayerShapeOf(const configs::ModelConfig& config, int tp) {
  LayerShape shape;
  shape.width = config.width;
  shape.heads = config.heads / tp;
  shape.kv_heads = std::max<int64_t>(1, config.kv_heads / tp);  // one, shared, where tp is larger
  shape.head_width = config.head_width();
  shape.ffn = config.ffn / tp;
  shape.position = config.position;
  shape.mlp = config.mlp;
  shape.rotary_base = config.rotary_base;
  return shape;
}

void BeforeAttention(const LayerContext& c, const Layer& layer, const LayerBuffers& at) {
  NormForward(layer.attention_norm, at.input, at.attention_norm, c.stream);
  ProjectQkv(c, layer, at);
}

void ProjectQkv(const LayerContext& c, const Layer& layer, const LayerBuffers& at) {
  SplitOutputForward(layer.qkv, c.axis, at.attention_norm.y, at.qkv, c.stream);
  Rotate(c, at.qkv, false);
}

void JoinAttention(const LayerContext& c, const Layer& layer, const LayerBuffers& at,
                   const DropoutKey& dropout, View branch) {
  SplitInputForward(layer.out, c.axis, at.attention, branch, c.stream);
  tensor::AddDropout(at.input, branch, at.middle, c.shape.width, dropout, c.stream);
  NormForward(layer.ffn_norm, at.middle, at.ffn_norm, c.stream);
}

void ApplyMlp(const LayerContext& c, const Layer& layer, const LayerBuffers& at) {
  if (c.shape.mlp == configs::Mlp::kGelu) {
    return SplitOutputGeluForward(layer.in, c.axis, at.ffn_norm.y, at.ffn_in, at.ffn, c.stream);
  }
  SplitOutputForward(layer.in, c.axis, at.ffn_norm.y, at.ffn_in, c.stream);
  tensor::SwiGlu(at.ffn_in, at.ffn, c.shape.ffn, c.stream);
}

void AfterAttention(const LayerContext& c, const Layer& layer, const LayerBuffers& at,
                    const DropoutKey& attention_dropout, const DropoutKey& ffn_dropout, View branch,
                    View next) {
  JoinAttention(c, layer, at, attention_dropout, branch);
  ApplyMlp(c, layer, at);
  SplitInputForward(layer.down, c.axis, at.ffn, branch, c.stream);
  tensor::AddDropout(at.middle, branch, next, c.shape.width, ffn_dropout, c.stream);
}

void BackwardFfn(const LayerContext& c, const Layer& layer, const LayerBuffers& at,
                 const GradientBuffers& gradient, const DropoutKey& dropout, bool accumulate) {
  const ConstView dy = Dropped(c, gradient, dropout);
  if (c.shape.mlp == configs::Mlp::kGelu) {
    SplitInputGeluBackward(layer.down, c.axis, at.ffn, dy, at.ffn_in, gradient.ffn_in, accumulate,
                           c.stream);
  } else {
    SplitInputBackward(layer.down, c.axis, at.ffn, dy, gradient.ffn, accumulate, c.stream);
    tensor::SwiGluGrad(at.ffn_in, gradient.ffn, gradient.ffn_in, c.shape.ffn, c.stream);
  }
  SplitOutputBackward(layer.in, c.axis, at.ffn_norm.y, gradient.ffn_in, gradient.branch, accumulate,
                      c.stream);
  NormBackward(layer.ffn_norm, c.axis, at.middle, at.ffn_norm, gradient.branch, gradient.branch,
               accumulate, c.stream);
  tensor::Add(gradient.branch, gradient.residual, c.stream);
}

void BackwardAttention(const LayerContext& c, const Layer& layer, const LayerBuffers& at,
                       const GradientBuffers& gradient, const DropoutKey& dropout,
                       const tensor::AttentionShape& shape, ConstView span_start, View workspace,
                       bool accumulate) {
  SplitInputBackward(layer.out, c.axis, at.attention, Dropped(c, gradient, dropout),
                     gradient.attention, accumulate, c.stream);
  tensor::AttentionGrad(shape, span_start, at.qkv, at.attention, at.log_sum, gradient.attention,
                        gradient.qkv, workspace, c.stream);
  Rotate(c, gradient.qkv, true);
  SplitOutputBackward(layer.qkv, c.axis, at.attention_norm.y, gradient.qkv, gradient.branch,
                      accumulate, c.stream);
  NormBackward(layer.attention_norm, c.axis, at.input, at.attention_norm, gradient.branch,
               gradient.branch, accumulate, c.stream);
  tensor::Add(gradient.branch, gradient.residual, c.stream);
}

}  // namespace moat::model
