// One transformer layer, forward and backward, over parameters and buffers it is lent:
//
//   middle = input + dropout(Wo attention(rotate(Wqkv norm(input))))
//   next   = middle + dropout(Wdown mlp(Win norm(middle)))
//
// Both families take this path: what a model lacks (biases, rotary positions, a gate) is an empty
// view or a choice in LayerShape. The attention itself stands between BeforeAttention and
// AfterAttention, so that training (whole sequences) and generation (a cache) share the rest.
#pragma once

#include <cstdint>

#include "configs/model_config.h"
#include "model/parallel_linear.h"
#include "tensor/ops.h"

namespace moat::model {

// Of one tensor rank: its heads, its part of the MLP.
struct LayerShape {
  int64_t width = 0;
  int64_t heads = 0, kv_heads = 0, head_width = 0;
  int64_t ffn = 0;
  configs::Position position = configs::Position::kRotary;
  configs::Mlp mlp = configs::Mlp::kSwiglu;
  double rotary_base = 0;

  int64_t q_width() const { return heads * head_width; }
  int64_t qkv_width() const { return (heads + 2 * kv_heads) * head_width; }
  int64_t in_width() const { return (mlp == configs::Mlp::kSwiglu ? 2 : 1) * ffn; }
};
// REQUIRES: configs::ValidateTensorSplit(config, tp, ...).
LayerShape LayerShapeOf(const configs::ModelConfig& config, int tp);

struct Layer {
  Norm attention_norm;
  Linear qkv, out;
  Norm ffn_norm;
  Linear in, down;
};

// What the backward pass needs again; with recompute some of it is of the layer at hand only, and
// shared by all. [tokens, ...]; the residual stream, norms and branches hold
// the slots that are here (TensorAxis), the rest all of them.
struct LayerBuffers {
  tensor::View input;  // the residual stream, [width]
  NormOutput attention_norm;
  tensor::View qkv, attention;
  tensor::View log_sum;  // [rows, heads, seq_len]
  tensor::View middle;   // the residual stream after attention
  NormOutput ffn_norm;
  tensor::View ffn_in, ffn;
};

// Shared by all layers.
struct GradientBuffers {
  tensor::View residual;  // of the layer's output on entry, of its input on return
  tensor::View branch, qkv, attention, ffn_in;
  tensor::View ffn;  // SwiGLU only
};

struct LayerContext {
  const LayerShape& shape;
  const TensorAxis& axis;
  tensor::ConstView positions;  // [tokens] i32
  tensor::Stream& stream;
};

// input to qkv, ready for attention.
void BeforeAttention(const LayerContext& context, const Layer& layer, const LayerBuffers& at);
// Its second half: attention_norm to qkv.
void ProjectQkv(const LayerContext& context, const Layer& layer, const LayerBuffers& at);
// attention to `next`, the following layer's input. `branch` [tokens, width] is scratch; middle and
// next may be input.
void AfterAttention(const LayerContext& context, const Layer& layer, const LayerBuffers& at,
                    const tensor::DropoutKey& attention_dropout,
                    const tensor::DropoutKey& ffn_dropout, tensor::View branch, tensor::View next);
// Its first parts: attention to middle and ffn_norm; ffn_norm to ffn.
void JoinAttention(const LayerContext& context, const Layer& layer, const LayerBuffers& at,
                   const tensor::DropoutKey& dropout, tensor::View branch);
void ApplyMlp(const LayerContext& context, const Layer& layer, const LayerBuffers& at);

// Parameter gradients are replaced, or added to with `accumulate`.
void BackwardFfn(const LayerContext& context, const Layer& layer, const LayerBuffers& at,
                 const GradientBuffers& gradient, const tensor::DropoutKey& dropout,
                 bool accumulate);
// `shape`, `span_start` and `workspace` as in tensor::AttentionGrad.
void BackwardAttention(const LayerContext& context, const Layer& layer, const LayerBuffers& at,
                       const GradientBuffers& gradient, const tensor::DropoutKey& dropout,
                       const tensor::AttentionShape& shape, tensor::ConstView span_start,
                       tensor::View workspace, bool accumulate);

}  // namespace moat::model
