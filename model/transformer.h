// Transformer: a decoder-only model, its forward and hand-written backward pass.
//
// Owns the weights, the gradients and one arena of activations; nothing is allocated in a step.
// Llama-style (RMSNorm, rotary positions, grouped-query attention, SwiGLU: Touvron et al., 2023,
// section 2.2) or GPT-2-style (LayerNorm, learned positions, GELU, biases: Radford et al., 2019,
// section 2.3), from one description and on one code path. All arithmetic goes through
// tensor/ops.h.
//
// All of it lies on the stream's device. A pass waits for the device once, at its end, for the
// losses, and throws PeerError where the tensor group's deadline passes before they are there.
//
// Over a tensor group each rank holds its heads, its part of the MLP and of the vocabulary; norms
// and learned positions are whole on each. All ranks of the group make the same calls with the same
// batches, and get the same losses, bit for bit.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "comm/communicator.h"
#include "configs/model_config.h"
#include "model/architecture/architecture.h"
#include "model/layer.h"
#include "tensor/host_buffer.h"
#include "tensor/ops.h"

namespace moat::model {

// A micro-batch: all arrays on the host, [rows * seq_len] row-major unless said. See data/batch.h
// for their meaning. They are read until the pass that takes them returns.
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

// The initial values of a box of a parameter, row-major, f32, on the stream's device; waits for it.
// Each depends on (seed, parameter name, global index) only.
void InitialValues(const Parameter& parameter, const parallel::Slice& slice, uint64_t seed,
                   tensor::View values, tensor::Stream& stream);

// Told in the backward pass when a parameter's gradient is complete; the index is that of the
// parameter table.
using OnGradReady = std::function<void(int parameter)>;

// Told in a forward pass, by its thread, before it reads weights [0, end) of the flat buffer: who
// still brings them there returns when they are complete.
using OnWeightsNeeded = std::function<void(int64_t end)>;

struct TransformerOptions {
  int64_t max_rows = 1;                   // of a micro-batch
  bool with_gradients = true;             // false: for evaluation and generation only
  core::DType dtype = core::DType::kF32;  // of the passes; master weights and gradients are f32
  comm::Communicator* tensor = nullptr;   // null: alone. Must outlive the model
  bool sequence_parallel = false;         // model/parallel_linear.h
  configs::Recompute recompute = configs::Recompute::kNone;
  // f32 weights are kept here; false: elsewhere (ZeRO), and only rounded ones here. REQUIRES then:
  // a dtype other than f32.
  bool with_master_weights = true;
  // Of the layers' products: model/float8_linear.h. FP8 REQUIRES dtype bf16.
  configs::MatmulDType matmul_dtype = configs::MatmulDType::kSame;
  int64_t flat_multiple = 1;  // flat buffers are padded to a multiple of so many elements
};

class Transformer {
 public:
  // Weights are zero until InitializeWeights or a checkpoint fills them. Collective over the tensor
  // group.
  Transformer(const configs::ModelConfig& config, const TransformerOptions& options,
              tensor::Stream& stream);

  const configs::ModelConfig& config() const { return config_; }
  core::DType dtype() const { return dtype_; }
  int64_t max_rows() const { return max_rows_; }
  const std::vector<Parameter>& parameters() const { return table_; }
  const std::vector<FlatRange>& layout() const { return layout_; }  // of this tensor rank
  const ParameterIndex& index() const { return index_; }
  // What this rank holds of the parameter.
  parallel::Slice slice(int parameter) const {
    return parallel::LocalSlice(table_[static_cast<size_t>(parameter)].split, axis_.rank(),
                                axis_.size());
  }
  // Does this rank answer for its slice of the parameter? Of tensor ranks that hold the same one,
  // the first does.
  bool FirstOfCopies(int parameter) const {
    const auto& split = table_[static_cast<size_t>(parameter)].split;
    return axis_.rank() % parallel::Copies(split, axis_.size()) == 0;
  }
  const ActivationPlan& activation_plan() const { return plan_; }
  const TensorAxis& axis() const { return axis_; }

  // This tensor rank's part of everything, flat, f32: the master weights (empty where they are kept
  // elsewhere) and their gradients. Parameters lie at layout(); what follows them is padding.
  tensor::View weights() { return weights_.view(); }
  tensor::View gradients() { return gradients_.view(); }
  tensor::View weight(int parameter);
  tensor::View gradient(int parameter);
  // The bf16 copy that the passes read; empty in f32, where they read weights() themselves.
  tensor::View rounded_weights() { return rounded_.view(); }
  // What the passes read: one of the two.
  tensor::View pass_weights() { return rounded_.count() > 0 ? rounded_.view() : weights_.view(); }
  // Whoever writes weights() by other means than AdamW's second output calls this after it.
  void RoundWeights();

  void SetOnWeightsNeeded(OnWeightsNeeded needed) { on_weights_needed_ = std::move(needed); }

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

  // The parts of a forward pass that generation shares. `hidden` [tokens, width].
  const Layer& layer(int64_t l) const { return layers_[static_cast<size_t>(l)]; }
  const LayerShape& layer_shape() const { return shape_; }
  const Norm& final_norm() const { return final_norm_; }
  // Of all tokens; those that are here are embedded. Collective over the tensor group.
  void EmbedTokens(tensor::ConstView tokens, tensor::ConstView positions, tensor::View hidden);
  // logits [tokens, vocab_size] f32 on the stream's device, from the final norm's output [tokens,
  // width]. Collective over the tensor group.
  void WholeLogits(tensor::ConstView normed, tensor::View logits);

 private:
  // The arena, cut into views: planned once, found by name once. Whole for max_rows; the passes
  // take the front of each.
  struct CommonBuffers {
    tensor::View tokens, targets, span_start, positions, weights, losses, logits, gradient_logits;
    tensor::View statistics, all_statistics;
    tensor::View final_input;
    NormOutput final_norm;
    tensor::View branch, workspace;
    GradientBuffers gradient;
  };
  // Where dropout is applied, as a number: 0 after the embedding, then two places a layer.
  static int64_t AttentionPlace(int64_t layer) { return 1 + 2 * layer; }
  static int64_t FfnPlace(int64_t layer) { return 2 + 2 * layer; }

  tensor::View PassWeight(int first, int count = 1);  // what the passes read; empty if absent
  tensor::View GradientGroup(int first, int count = 1);
  Linear LinearOf(int weight, int bias, int count, int64_t in, int64_t out);
  Norm NormOf(int weight, int bias);
  void BindParameters();
  void BindFloat8();
  tensor::View Planned(const std::string& name);
  TensorScratch PlannedScratch();
  NormOutput PlannedNorm(const std::string& name);
  LayerBuffers PlannedLayer(int64_t layer);
  CommonBuffers PlannedCommon();
  tensor::View Front(tensor::View view, int64_t rows) const;
  NormOutput Front(const NormOutput& output, int64_t rows) const;
  LayerBuffers LayerFor(int64_t layer, int64_t rows) const;
  CommonBuffers CommonFor(int64_t rows) const;
  LayerContext ContextFor(const CommonBuffers& common) {
    return {shape_, axis_, common.positions, stream_};
  }
  tensor::DropoutKey DropoutFor(const MicroBatch& batch, int64_t place) const;
  tensor::AttentionShape AttentionOf(int64_t rows) const;
  // The first `count` elements of one of the arrays in host_.
  enum class OnHost { kPositions, kLosses, kTokens, kTargets, kSpanStart, kWeights, kCount };
  tensor::View HostArray(OnHost array, int64_t count, core::DType dtype);
  void LoadBatch(const MicroBatch& batch);
  void ForwardLayers(const MicroBatch& batch);
  void ForwardLayer(const MicroBatch& batch, int64_t layer);
  void RecomputeLayer(const MicroBatch& batch, int64_t layer);
  void OutputProduct(tensor::ConstView normed, tensor::View logits);
  void ChunkLoss(const CommonBuffers& at, tensor::ConstView normed, int64_t begin, int64_t rows,
                 tensor::View dlogits);
  void LossOfChunk(const CommonBuffers& at, tensor::ConstView logits, int64_t begin, int64_t rows,
                   tensor::View dlogits);
  void Loss(const MicroBatch& batch, bool gradient, bool accumulate);
  LossSums SumsOfLosses(const MicroBatch& batch);
  void BackwardLayers(const MicroBatch& batch, bool accumulate, const OnGradReady& ready);
  void BackwardEmbedding(const MicroBatch& batch, bool accumulate);

  configs::ModelConfig config_;
  core::DType dtype_;
  configs::Recompute recompute_;
  configs::MatmulDType matmul_dtype_;
  int64_t max_rows_;
  tensor::Stream& stream_;
  std::vector<Parameter> table_;
  ParameterIndex index_;
  std::vector<FlatRange> layout_;
  ActivationPlan plan_;
  parallel::FlatRange vocabulary_;  // this rank's tokens
  tensor::Tensor weights_, rounded_, gradients_, arena_;
  std::unique_ptr<comm::Communicator> copies_;  // ranks with the same kv heads
  TensorAxis axis_;
  LayerShape shape_;
  std::vector<Layer> layers_;
  Norm final_norm_;
  std::vector<LayerBuffers> layer_buffers_;
  OnWeightsNeeded on_weights_needed_;
  CommonBuffers common_;
  tensor::HostBuffer host_;  // what a pass copies from and to, [max_rows * seq_len] each
  uint64_t seed_ = 0;        // of the step at hand
  int64_t step_ = 0;
  double dropout_ = 0;  // of the pass at hand
};

}  // namespace moat::model
