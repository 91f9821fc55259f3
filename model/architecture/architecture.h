// Architecture: a model's configuration as data. Parameters, activations, FLOPs; no memory, no
// devices.
//
// Pure: usable on a login node. Everything that needs to know "which parameters are there, how
// large, split how" asks here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "configs/model_config.h"
#include "core/device_kind.h"
#include "core/dtype.h"
#include "core/units.h"
#include "parallel/bucket_plan.h"
#include "parallel/slice.h"

namespace moat::model {

enum class Init { kNormal, kOnes, kZeros };

// A parameter, declared once.
struct Parameter {
  std::string name;           // "layers.0.attention.wq", as in checkpoints
  parallel::SplitSpec split;  // global shape and how it lies on the tensor axis
  Init init = Init::kNormal;
  double deviation = 0;  // of Init::kNormal
  bool decays = true;    // weight decay applies (matrices; not norms and biases)
};

// All parameters in the order of the flat buffers (weights, gradients, moments). Neighbours that
// one product serves stand side by side: wq, wk, wv and w_gate, w_up, and so do their biases.
//
//   embedding                   [vocab_size, width]              split dim 0, unevenly
//   position                    [seq_len, width]                 learned positions
//   layers.L.attention_norm     [width]
//   layers.L.attention_norm.bias                                 LayerNorm with --bias
//   layers.L.attention.wq       [heads * head_width, width]      split dim 0
//   layers.L.attention.wk, wv   [kv_heads * head_width, width]   split dim 0, in whole heads;
//                                                   shared where there are more ranks than kv heads
//   layers.L.attention.bq, bk, bv  one per row of wq, wk, wv     split dim 0, with --bias
//   layers.L.attention.wo       [width, heads * head_width]      split dim 1
//   layers.L.attention.bo       [width]                          with --bias
//   layers.L.ffn_norm           [width]
//   layers.L.ffn_norm.bias                                       LayerNorm with --bias
//   layers.L.ffn.w_gate         [ffn, width]                     split dim 0, SwiGLU
//   layers.L.ffn.w_up           [ffn, width]                     split dim 0
//   layers.L.ffn.b_gate, b_up   [ffn]                            split dim 0, with --bias
//   layers.L.ffn.w_down         [width, ffn]                     split dim 1
//   layers.L.ffn.b_down         [width]                          with --bias
//   final_norm                  [width]
//   final_norm.bias                                              LayerNorm with --bias
//   output                      [vocab_size, width]              split dim 0, unevenly; absent when
//                                                                embeddings are tied
//
// Matrices are drawn from N(0, 0.02); those that write to the residual stream (wo, w_down) from
// N(0, 0.02 / sqrt(2 layers)) (Radford et al., "Language Models are Unsupervised Multitask
// Learners", 2019, section 2.3). Biases start at 0.
std::vector<Parameter> ParameterTable(const configs::ModelConfig& config);

// Where the parameters stand in the table; kAbsent where a model has none. Groups of neighbours are
// named by their first: wq for wq, wk, wv; w_in for w_gate, w_up, or w_up alone.
constexpr int kAbsent = -1;
struct LayerIndex {
  int attention_norm = kAbsent, attention_norm_bias = kAbsent;
  int wq = kAbsent, bq = kAbsent, wo = kAbsent, bo = kAbsent;
  int ffn_norm = kAbsent, ffn_norm_bias = kAbsent;
  int w_in = kAbsent, b_in = kAbsent, w_down = kAbsent, b_down = kAbsent;
  int in_count = 1;  // matrices in w_in: 2 for SwiGLU
};
struct ParameterIndex {
  int embedding = kAbsent, position = kAbsent;
  std::vector<LayerIndex> layers;
  int final_norm = kAbsent, final_norm_bias = kAbsent;
  int output = kAbsent;  // the embedding where it is tied
};
ParameterIndex IndexParameters(const configs::ModelConfig& config,
                               const std::vector<Parameter>& table);

int64_t ParameterCount(const configs::ModelConfig& config);

// A parameter's place in a rank's flat buffers.
using parallel::FlatRange;
// Ranges of tensor rank `tp_index` of `tp`, in the order of the table, without gaps.
std::vector<FlatRange> FlatLayout(const std::vector<Parameter>& table, int tp_index, int tp);

// Those in products: matrices, look-ups left out (an untied embedding, learned positions).
int64_t ProductParameterCount(const configs::ModelConfig& config);

// Floating-point operations of one token's forward and backward pass: 6 N + 6 L C T, N being
// ProductParameterCount(), counted as everywhere in moat's figures.
// Recomputation is not work.
double FlopsPerToken(const configs::ModelConfig& config);

// What the activations of one micro-batch take, buffer by buffer.
struct ActivationBuffer {
  std::string name;  // "layers.0.qkv", "attention.workspace"
  int64_t elements = 0;
  core::DType dtype = core::DType::kF32;
  int64_t offset = 0;  // bytes from the start of the arena, a multiple of 64
};

struct ActivationPlan {
  std::vector<ActivationBuffer> buffers;
  core::Bytes total;
  const ActivationBuffer& at(const std::string& name) const;  // BugError when absent
};

constexpr int64_t kAttentionTile = 64;  // queries handled at a time

// The loss goes through a micro-batch in chunks: all logits at once would take more memory than the
// rest. Bits depend on them.
struct LossChunks {
  int64_t logits;  // slots whose logits (f32) exist at once
  // Slots whose logits' gradient exists at once: each such chunk adds to the gradient of the output
  // matrix, which is read and written whole, so fewer are faster.
  int64_t gradients;
};
// A CPU's caches like few. A GPU wants a chunk's products to fill all its multiprocessors several
// times over, and has the memory.
constexpr LossChunks LossChunksOn(core::DeviceKind device) {
  return device == core::DeviceKind::kCpu ? LossChunks{256, 1024} : LossChunks{1024, 4096};
}

constexpr int64_t kLossStatistics = 3;  // numbers a slot: tensor::PartStatistics

struct PlanOptions {
  int64_t rows = 1;                       // sequences of a micro-batch
  int threads = 1;                        // of the rank
  core::DType dtype = core::DType::kF32;  // of activations
  int tp = 1;                             // tensor ranks: each holds its part of the layers
  bool sequence_parallel = false;         // and of the slots between them
  configs::Recompute recompute = configs::Recompute::kNone;
  core::DeviceKind device = core::DeviceKind::kCpu;
  configs::MatmulDType matmul_dtype = configs::MatmulDType::kSame;  // of the layers' products
};

// The name of a layer's buffer `what` ("qkv"): its own, or "recomputed.qkv" where the backward pass
// computes it again, into a buffer that all layers share. kInner shares what lies between
// attention_norm and the sum into the residual stream, and between ffn_norm and the next one;
// kBlock all but the layer's input.
std::string LayerBufferName(configs::Recompute recompute, int64_t layer, const std::string& what);

// Forward and backward of `rows` sequences. Planned once; a step allocates nothing. Logits are kept
// for a few slots only (LossChunksOn). Statistics, losses and logits are f32 whatever the dtype.
// Throws ConfigError as configs::ValidateTensorSplit and, of products in FP8,
// configs::ValidateFloat8.
ActivationPlan PlanActivations(const configs::ModelConfig& config, const PlanOptions& options);

}  // namespace moat::model
