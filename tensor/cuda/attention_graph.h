// Attention, forward, as a graph of cuDNN's operations.
#pragma once

#include "tensor/cuda/cudnn.h"
#include "tensor/kernel_table.h"

namespace moat::tensor::cuda {

// The graph's tensors that have memory.
enum class AttentionTensor : int64_t {
  kQueries = 1,
  kKeys,
  kValues,
  kSpanStart,
  kScale,    // by value: what scores are multiplied with, f32
  kNothing,  // by value: the score of what is not seen, f32
  kOut,
  kLogSum,
};

// Scores, the two conditions of being seen (not later, and not before the span), softmax with its
// log_sum, product with values; exactly ops.h, Attention, of bf16. An operation graph, finished.
CudnnDescriptor AttentionGraph(const AttentionShape& shape);

}  // namespace moat::tensor::cuda
