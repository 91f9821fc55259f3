// The transformer's layers, forward and backward.
#include "model/layer_views.h"
#include "model/transformer.h"

namespace moat::model {

using tensor::View;

void Transformer::ForwardLayers(const MicroBatch& batch) {
  LoadBatch(batch);
  const CommonBuffers at = CommonFor(batch.rows);
  const View first = LayerFor(0, batch.rows).input;
  tensor::Embed(at.tokens, weight(0), first, config_.width, false, stream_);
  tensor::Dropout(first, config_.width, DropoutFor(batch, 0), stream_);
  for (int64_t l = 0; l < config_.layers; ++l) ForwardLayer(batch, l);
  const int final_norm = LayerIndex(config_.layers, kAttentionNorm);
  tensor::RmsNorm(at.final_input, weight(final_norm), at.final_norm, at.final_inverse,
                  config_.norm_epsilon, stream_);
}

void Transformer::ForwardLayer(const MicroBatch& batch, int64_t l) {
  const LayerBuffers at = LayerFor(l, batch.rows);
  const CommonBuffers common = CommonFor(batch.rows);
  const int64_t tokens = batch.rows * config_.seq_len;
  const int64_t width = config_.width, head = config_.head_width();
  const int64_t qkv_width = at.qkv.count / tokens, q_width = at.attention.count / tokens;

  tensor::RmsNorm(at.input, weight(LayerIndex(l, kAttentionNorm)), at.attention_norm,
                  at.attention_inverse, config_.norm_epsilon, stream_);
  tensor::MatMul(false, true, tokens, qkv_width, width, at.attention_norm,
                 WeightGroup(LayerIndex(l, kWq), 3), {}, at.qkv, false, stream_);
  tensor::Rotate(at.qkv, common.positions, config_.heads + config_.kv_heads, head, qkv_width,
                 config_.rotary_base, false, stream_);
  tensor::Attention(AttentionOf(batch), common.span_start, at.qkv, at.attention, at.log_sum,
                    common.workspace, stream_);
  tensor::MatMul(false, true, tokens, width, q_width, at.attention, weight(LayerIndex(l, kWo)), {},
                 common.branch, false, stream_);
  tensor::AddDropout(at.input, common.branch, at.middle, width,
                     DropoutFor(batch, AttentionPlace(l)), stream_);

  tensor::RmsNorm(at.middle, weight(LayerIndex(l, kFfnNorm)), at.ffn_norm, at.ffn_inverse,
                  config_.norm_epsilon, stream_);
  tensor::MatMul(false, true, tokens, 2 * config_.ffn, width, at.ffn_norm,
                 WeightGroup(LayerIndex(l, kWGate), 2), {}, at.gate_up, false, stream_);
  tensor::SwiGlu(at.gate_up, at.ffn, config_.ffn, stream_);
  tensor::MatMul(false, true, tokens, width, config_.ffn, at.ffn, weight(LayerIndex(l, kWDown)), {},
                 common.branch, false, stream_);
  const View next = l + 1 < config_.layers ? LayerFor(l + 1, batch.rows).input : common.final_input;
  tensor::AddDropout(at.middle, common.branch, next, width, DropoutFor(batch, FfnPlace(l)),
                     stream_);
}

// "gradient" holds the gradient of the layer's output on entry, of its input on return.
void Transformer::BackwardLayer(const MicroBatch& batch, int64_t l, bool accumulate,
                                const OnGradReady& ready) {
  BackwardFfn(batch, l, accumulate);
  for (const LayerParameter p : {kWDown, kWUp, kWGate, kFfnNorm}) ready(LayerIndex(l, p));
  BackwardAttention(batch, l, accumulate);
  for (const LayerParameter p : {kWo, kWv, kWk, kWq, kAttentionNorm}) ready(LayerIndex(l, p));
}

void Transformer::BackwardFfn(const MicroBatch& batch, int64_t l, bool accumulate) {
  const LayerBuffers at = LayerFor(l, batch.rows);
  const CommonBuffers common = CommonFor(batch.rows);
  const int64_t tokens = batch.rows * config_.seq_len;
  const int64_t width = config_.width, ffn = config_.ffn;
  const View gradient = common.gradient, branch = common.gradient_branch;
  const View dffn = common.gradient_ffn, dgate_up = common.gradient_gate_up;

  tensor::Copy(gradient, branch, stream_);
  tensor::Dropout(branch, width, DropoutFor(batch, FfnPlace(l)), stream_);
  tensor::MatMul(true, false, width, ffn, tokens, branch, at.ffn, {},
                 this->gradient(LayerIndex(l, kWDown)), accumulate, stream_);
  tensor::MatMul(false, false, tokens, ffn, width, branch, weight(LayerIndex(l, kWDown)), {}, dffn,
                 false, stream_);
  tensor::SwiGluGrad(at.gate_up, dffn, dgate_up, ffn, stream_);
  const View pair = WeightGroup(LayerIndex(l, kWGate), 2);
  tensor::MatMul(true, false, 2 * ffn, width, tokens, dgate_up, at.ffn_norm, {},
                 GradientGroup(LayerIndex(l, kWGate), 2), accumulate, stream_);
  tensor::MatMul(false, false, tokens, width, 2 * ffn, dgate_up, pair, {}, branch, false, stream_);
  tensor::RmsNormGrad(at.middle, weight(LayerIndex(l, kFfnNorm)), at.ffn_inverse, branch, branch,
                      this->gradient(LayerIndex(l, kFfnNorm)), accumulate, stream_);
  tensor::Add(branch, gradient, stream_);
}

void Transformer::BackwardAttention(const MicroBatch& batch, int64_t l, bool accumulate) {
  const LayerBuffers at = LayerFor(l, batch.rows);
  const CommonBuffers common = CommonFor(batch.rows);
  const int64_t tokens = batch.rows * config_.seq_len;
  const int64_t width = config_.width;
  const int64_t qkv_width = at.qkv.count / tokens, q_width = at.attention.count / tokens;
  const View gradient = common.gradient, branch = common.gradient_branch;
  const View dattention = common.gradient_attention, dqkv = common.gradient_qkv;

  tensor::Copy(gradient, branch, stream_);
  tensor::Dropout(branch, width, DropoutFor(batch, AttentionPlace(l)), stream_);
  tensor::MatMul(true, false, width, q_width, tokens, branch, at.attention, {},
                 this->gradient(LayerIndex(l, kWo)), accumulate, stream_);
  tensor::MatMul(false, false, tokens, q_width, width, branch, weight(LayerIndex(l, kWo)), {},
                 dattention, false, stream_);
  tensor::AttentionGrad(AttentionOf(batch), common.span_start, at.qkv, at.attention, at.log_sum,
                        dattention, dqkv, common.workspace, stream_);
  tensor::Rotate(dqkv, common.positions, config_.heads + config_.kv_heads, config_.head_width(),
                 qkv_width, config_.rotary_base, true, stream_);
  tensor::MatMul(true, false, qkv_width, width, tokens, dqkv, at.attention_norm, {},
                 GradientGroup(LayerIndex(l, kWq), 3), accumulate, stream_);
  tensor::MatMul(false, false, tokens, width, qkv_width, dqkv, WeightGroup(LayerIndex(l, kWq), 3),
                 {}, branch, false, stream_);
  tensor::RmsNormGrad(at.input, weight(LayerIndex(l, kAttentionNorm)), at.attention_inverse, branch,
                      branch, this->gradient(LayerIndex(l, kAttentionNorm)), accumulate, stream_);
  tensor::Add(branch, gradient, stream_);
}

}  // namespace moat::model
