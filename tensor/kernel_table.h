// The kernels of one device and one element type: function pointers over raw pointers and extents.
//
// ops.cc validates, then calls one of these. `void*` is memory of the table's element type (f32 or
// bf16), `float*` is always f32. What each computes is said once, in ops.h.
#pragma once

#include <cstdint>

#include "core/attention_shape.h"
#include "core/dtype.h"

namespace moat::tensor {

class Stream;

using core::AttentionShape;

struct DropoutKey {
  uint64_t key;             // of (seed, step, place in the model)
  const uint64_t* samples;  // [rows] global sample numbers
  int64_t seq_len;
  float rate;             // 0: nothing is dropped
  int64_t first_row = 0;  // of the batch's rows x seq_len slots: where the tensor at hand begins
};

constexpr int64_t kPartStatistics = 3;  // numbers a row: ops.h, PartStatistics

struct AdamWStep {
  float learning_rate;
  float beta1, beta2, epsilon;
  float weight_decay;
  float correction1, correction2;  // 1 - beta^t
  float gradient_scale;            // applied to the gradient first
};

// A product and what is done to its result, or beside it, in one pass. Forward: c = gelu(before),
// before = op(a) op(b) + bias, both written. Backward: c = (op(a) op(b)) * gelu'(before). Beside a
// gradient of weights, c = op(a) op(b) with dbias the sums of the rows of op(a).
struct FusedProduct {
  enum class Ending { kGelu, kGeluGrad, kBiasGrad };
  Ending ending;
  bool trans_a, trans_b;
  int64_t m, n, k;
  const void *a, *b;
  const void* bias;  // kGelu; null for none
  void* before;      // kGelu: written; kGeluGrad: read
  void* c;
  bool c_is_f32;
  float* dbias;  // kBiasGrad: [m]
};

// ops.h, ScaledMatMul: c [m, n] = a [m, k] b [n, k]^T by their scales.
struct ScaledProduct {
  int64_t m, n, k;
  core::DType a_dtype;  // e4m3 or e5m2; b is e4m3
  const void *a, *b;
  const float *a_scale, *b_scale;
  const void* bias;  // bf16; null for none
  void* c;           // f32, or bf16
  bool c_is_f32;
  bool accumulate;
};

struct KernelTable {
  void (*matmul)(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const void* a,
                 const void* b, const void* bias, void* c, bool c_is_f32, bool accumulate,
                 const Stream&);  // bias: null for none
  // May be null. False where the device does not do it in one pass: then nothing was done, and
  // linear_ops.cc calls the kernels for the parts.
  bool (*fused_product)(const FusedProduct&, const Stream&);
  void (*scale_for)(core::DType format, int64_t count, const void* x, float* scale, const Stream&);
  // values, transposed: null for none.
  void (*quantize)(core::DType format, int64_t rows, int64_t columns, const void* x,
                   const float* scale, uint8_t* values, uint8_t* transposed, const Stream&);
  // Of the table of bf16; in f32 there is none.
  void (*scaled_matmul)(const ScaledProduct&, const Stream&);
  void (*bias_grad)(int64_t rows, int64_t width, const void* dy, float* dbias, bool accumulate,
                    const Stream&);
  void (*embed)(int64_t tokens, int64_t width, int64_t first, int64_t table_rows,
                const int32_t* ids, const void* table, void* y, bool accumulate, const Stream&);
  void (*embed_grad)(int64_t tokens, int64_t width, int64_t first, int64_t table_rows,
                     const int32_t* ids, const void* dy, float* dtable, const Stream&);
  void (*rms_norm)(int64_t rows, int64_t width, float epsilon, const void* x, const void* weight,
                   void* y, float* inverse_rms, const Stream&);
  void (*rms_norm_grad)(int64_t rows, int64_t width, const void* x, const void* weight,
                        const float* inverse_rms, const void* dy, void* dx, float* dweight,
                        bool accumulate_dweight, const Stream&);
  void (*layer_norm)(int64_t rows, int64_t width, float epsilon, const void* x, const void* weight,
                     const void* bias, void* y, float* mean, float* inverse, const Stream&);
  void (*layer_norm_grad)(int64_t rows, int64_t width, const void* x, const void* weight,
                          const float* mean, const float* inverse, const void* dy, void* dx,
                          float* dweight, float* dbias, bool accumulate, const Stream&);
  void (*rotate)(int64_t tokens, int64_t heads, int64_t head_width, int64_t stride,
                 const int32_t* positions, double base, bool inverse, void* x, const Stream&);
  // May be null, where every shape is taken. Throws ConfigError for one that is not.
  void (*check_attention)(const AttentionShape&, bool with_gradient, const Stream&);
  void (*attention)(const AttentionShape&, const int32_t* span_start, const void* qkv, void* out,
                    float* log_sum, float* workspace, const Stream&);
  void (*attention_grad)(const AttentionShape&, const int32_t* span_start, const void* qkv,
                         const void* out, const float* log_sum, const void* dout, void* dqkv,
                         float* workspace, const Stream&);
  void (*attention_cached)(int64_t heads, int64_t kv_heads, int64_t head_width, int64_t length,
                           const void* q, const void* keys, const void* values, void* out,
                           const Stream&);
  void (*swiglu)(int64_t rows, int64_t width, const void* gate_up, void* y, const Stream&);
  void (*swiglu_grad)(int64_t rows, int64_t width, const void* gate_up, const void* dy,
                      void* dgate_up, const Stream&);
  void (*gelu)(int64_t count, const void* x, void* y, const Stream&);
  void (*gelu_grad)(int64_t count, const void* x, const void* dy, void* dx, const Stream&);
  void (*add_dropout)(int64_t rows, int64_t width, const void* x, const void* branch, void* y,
                      const DropoutKey&, const Stream&);
  void (*dropout)(int64_t rows, int64_t width, void* x, const DropoutKey&, const Stream&);
  void (*add)(int64_t count, const void* x, void* y, const Stream&);
  void (*to_f32)(int64_t count, const void* x, float* y, const Stream&);
  void (*from_f32)(int64_t count, const float* x, void* y, const Stream&);
  void (*cross_entropy)(int64_t rows, int64_t vocab, const float* logits, const int32_t* targets,
                        const float* weights, float* losses, void* dlogits, const Stream&);
  void (*part_statistics)(int64_t rows, int64_t part, int64_t first, const float* logits,
                          const int32_t* targets, float* statistics, const Stream&);
  void (*cross_entropy_of_part)(int64_t parts, int64_t rows, int64_t part, int64_t first,
                                const float* statistics, const float* logits,
                                const int32_t* targets, const float* weights, float* losses,
                                void* dlogits, const Stream&);
  // `rounded` is bf16, or null.
  void (*adamw)(int64_t count, const AdamWStep&, const float* gradient, float* moment1,
                float* moment2, float* weight, void* rounded, const Stream&);
  void (*sums_of_squares)(int64_t count, const float* x, int64_t block, int64_t phase, double* sums,
                          const Stream&);
};

// `dtype`: f32 or bf16, whatever the processor (tensor/cpu_features.h says what it lacks). Throws
// ConfigError for a dtype the CPU does not compute in.
const KernelTable& CpuKernels(core::DType dtype);

}  // namespace moat::tensor
