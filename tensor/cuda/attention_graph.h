// Attention, forward and backward, as graphs of cuDNN's operations.
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
  kDout,   // backward, and below
  kDelta,  // scratch, [rows, heads, seq_len] of f32: sums of dout * out over a head
  kOne,    // by value, f32
  kQueriesGrad,
  kKeysGrad,
  kValuesGrad,
};

// Scores, the two conditions of being seen (not later, and not before the span), softmax with its
// log_sum, product with values; exactly ops.h, Attention, of bf16. An operation graph, finished.
CudnnDescriptor AttentionGraph(const AttentionShape& shape);

// The gradient, again exactly ops.h, of one slice of a shape: pointers are to its first row and
// heads. Written in one place by one block each, so that bits are equal each time.
CudnnDescriptor AttentionGradGraph(const AttentionShape& shape, const core::AttentionSlice& slice);

}  // namespace moat::tensor::cuda
