// Attention by a library, beside our own kernel, which is the reference and the fall-back.
#pragma once

#include <cuda_runtime.h>

#include <memory>
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

class AttentionPlans {
 public:
  virtual ~AttentionPlans() = default;
  // Enqueues it. False, with nothing done, where the library does not take the shape or wants more
  // workspace.
  virtual bool Run(const AttentionShape& shape, const AttentionOperands& operands, void* workspace,
                   size_t workspace_bytes) = 0;
};

// cuDNN's version as it says itself; 0 where there is none that the graph was tried with.
int64_t CudnnForAttention();
// REQUIRES: CudnnForAttention() > 0. On the stream of device `index`.
std::unique_ptr<AttentionPlans> MakeCudnnAttention(cudaStream_t stream, int index);

// How many of cuDNN's engines take the shape on a device of this description (its own JSON). Needs
// no device, but a libcuda to load. -1 where there is no cuDNN.
int CudnnEnginesFor(const AttentionShape& shape, const std::string& device);

// Enqueues it, and is true, where cuDNN was chosen for the stream (tensor/product_tuner.h); where
// products are measured, `own` and it are, too. bf16 only.
using OwnAttention = void (*)(const AttentionShape&, const AttentionOperands&, const Stream&);
bool AttentionByChoice(const AttentionShape& shape, const AttentionOperands& operands,
                       OwnAttention own, const Stream& stream);

}  // namespace moat::tensor::cuda
