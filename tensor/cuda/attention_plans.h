// Attention by a library, beside our own kernels, which are the reference and the fall-back.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <optional>
#include <string>

#include "tensor/kernel_table.h"

namespace moat::tensor::cuda {

// Pointers of one forward call in bf16: ops.h, Attention.
struct AttentionOperands {
  const int32_t* span_start;
  const void* qkv;
  void* out;
  float* log_sum;
};

// And of a backward call: ops.h, AttentionGrad. workspace: core::AttentionWorkspace.
struct AttentionGradOperands {
  const int32_t* span_start;
  const void* qkv;
  const void* out;
  const float* log_sum;
  const void* dout;
  void* dqkv;
  float* workspace;
};

// False, with nothing done, where the library does not take the shape or wants more workspace.
class AttentionPlans {
 public:
  virtual ~AttentionPlans() = default;
  virtual bool Forward(const AttentionShape& shape, const AttentionOperands& operands,
                       void* workspace, size_t workspace_bytes) = 0;
  // Slice by slice (core/attention_shape.h), one after the other in the same workspace.
  virtual bool Backward(const AttentionShape& shape, const AttentionGradOperands& operands) = 0;
};

// cuDNN's version as it says itself; 0 where there is none that the graphs were tried with.
int64_t CudnnForAttention();
// REQUIRES: CudnnForAttention() > 0. On the stream of device `index`.
std::unique_ptr<AttentionPlans> MakeCudnnAttention(cudaStream_t stream, int index);

enum class AttentionPass { kForward, kBackward };
struct CudnnEngines {
  int count = 0;
  int64_t workspace_bytes = 0;  // the most that one of them wants
};
// Those that take the shape's pass, of a backward one its largest slice, on a device of this
// description (cuDNN's own JSON). Needs no device, but a libcuda to load. Nothing without cuDNN.
std::optional<CudnnEngines> CudnnEnginesFor(AttentionPass pass, const AttentionShape& shape,
                                            const std::string& device);

// Enqueues it, and is true, where cuDNN was chosen for the stream (tensor/product_tuner.h); where
// products are measured, `own` and it are, too, and it is chosen only if its results are ours, to
// rounding, with the same bits twice. bf16 only.
using OwnAttention = void (*)(const AttentionShape&, const AttentionOperands&, const Stream&);
bool AttentionByChoice(const AttentionShape& shape, const AttentionOperands& operands,
                       OwnAttention own, const Stream& stream);
using OwnAttentionGrad = void (*)(const AttentionShape&, const AttentionGradOperands&,
                                  const Stream&);
bool AttentionGradByChoice(const AttentionShape& shape, const AttentionGradOperands& operands,
                           OwnAttentionGrad own, const Stream& stream);

}  // namespace moat::tensor::cuda
