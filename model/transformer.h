// Transformer: a decoder-only model, its forward and hand-written backward pass.
//
// Owns the weights, the gradients and one arena of activations; nothing is allocated in a step.
// Llama-style: RMSNorm, rotary positions, grouped-query attention, SwiGLU (Touvron et al., 2023,
// section 2.2). All arithmetic goes through tensor/ops.h.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "configs/model_config.h"
#include "model/architecture/architecture.h"
#include "tensor/ops.h"

namespace moat::model {

// A micro-batch: all arrays on the host, [rows * seq_len] row-major unless said. See data/batch.h
// for their meaning.
struct MicroBatch {
  int64_t rows = 0;
  const int32_t* tokens = nullptr;
  const int32_t* targets = nullptr;
  const float* weights = nullptr;
  const int32_t* span_start = nullptr;
  const uint64_t* samples = nullptr;  // [rows], for dropout
};

// Sums over a micro-batch, in f64. The mean is taken once, over the whole global batch, by the
// trainer.
struct LossSums {
  double weighted_loss = 0;  // sum of w * loss, nats
  double weight = 0;         // sum of w
};

// Told in the backward pass when a parameter's gradient is complete; the index is that of the
// parameter table.
using OnGradReady = std::function<void(int parameter)>;

class Transformer {
 public:
  // Room for micro-batches of up to `max_rows` rows. Weights are zero until InitializeWeights or a
  // checkpoint fills them. `with_gradients` false: for evaluation and generation only.
  Transformer(const configs::ModelConfig& config, int64_t max_rows, bool with_gradients,
              tensor::Stream& stream);

  const configs::ModelConfig& config() const { return config_; }
  const std::vector<Parameter>& parameters() const { return table_; }
  const std::vector<FlatRange>& layout() const { return layout_; }
  const ActivationPlan& activation_plan() const { return plan_; }

  tensor::View weights() { return weights_.view(); }      // all, flat, f32
  tensor::View gradients() { return gradients_.view(); }  // likewise
  tensor::View weight(int parameter);
  tensor::View gradient(int parameter);
  // Neighbouring parameters as one matrix: wq, wk, wv; w_gate, w_up.
  tensor::View WeightGroup(int first, int count);
  tensor::View GradientGroup(int first, int count);

  // Each value depends on (seed, parameter name, global index) only.
  void InitializeWeights(uint64_t seed);

  // Forward and backward. Gradients of sum(w * loss) are added to gradients() with `accumulate`,
  // else replace them. Dropout masks are of (seed, step). REQUIRES: rows <= max_rows, 0 <= tokens,
  // targets < vocab_size.
  LossSums ForwardBackward(const MicroBatch& batch, uint64_t seed, int64_t step, bool accumulate,
                           const OnGradReady& on_ready = nullptr);

  // Forward only, without dropout. `losses` (host, [rows * seq_len]), if given, gets each slot's w
  // * loss.
  LossSums Evaluate(const MicroBatch& batch, float* losses = nullptr);

  // Forward only: logits [rows * seq_len, vocab_size] f32, for tests and small inputs.
  void Logits(const MicroBatch& batch, float* logits);

 private:
  // The arena, cut into views: planned once, found by name once. Whole for max_rows; the passes
  // take the front of each.
  struct LayerBuffers {
    tensor::View input, attention_norm, attention_inverse, qkv, attention, log_sum;
    tensor::View middle, ffn_norm, ffn_inverse, gate_up, ffn;
  };
  struct CommonBuffers {
    tensor::View tokens, targets, span_start, positions, weights, losses, logits;
    tensor::View final_input, final_inverse, final_norm, branch, workspace;
    tensor::View gradient, gradient_branch, gradient_qkv, gradient_attention, gradient_gate_up,
        gradient_ffn;
  };
  // Where dropout is applied, as a number: 0 after the embedding, then two places a layer.
  static int64_t AttentionPlace(int64_t layer) { return 1 + 2 * layer; }
  static int64_t FfnPlace(int64_t layer) { return 2 + 2 * layer; }

  tensor::View Planned(const std::string& name);
  LayerBuffers PlannedLayer(int64_t layer);
  CommonBuffers PlannedCommon();
  LayerBuffers LayerFor(int64_t layer, int64_t rows) const;
  CommonBuffers CommonFor(int64_t rows) const;
  tensor::DropoutKey DropoutFor(const MicroBatch& batch, int64_t place) const;
  void LoadBatch(const MicroBatch& batch);
  void ForwardLayers(const MicroBatch& batch);
  void ForwardLayer(const MicroBatch& batch, int64_t layer);
  LossSums Loss(const MicroBatch& batch, bool gradient, bool accumulate);
  void BackwardLayer(const MicroBatch& batch, int64_t layer, bool accumulate,
                     const OnGradReady& ready);
  void BackwardAttention(const MicroBatch& batch, int64_t layer, bool accumulate);
  void BackwardFfn(const MicroBatch& batch, int64_t layer, bool accumulate);
  tensor::AttentionShape AttentionOf(const MicroBatch& batch) const;

  configs::ModelConfig config_;
  int64_t max_rows_;
  tensor::Stream& stream_;
  std::vector<Parameter> table_;
  std::vector<FlatRange> layout_;
  ActivationPlan plan_;
  tensor::Tensor weights_, gradients_, arena_;
  std::vector<LayerBuffers> layers_;
  CommonBuffers common_;
  uint64_t seed_ = 0;  // of the step at hand
  int64_t step_ = 0;
  double dropout_ = 0;  // of the pass at hand
};

}  // namespace moat::model
