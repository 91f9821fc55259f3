// The CUDA kernels by family; kernels.cc puts them into the tables. See ops.h for what each
// computes.
#pragma once

#include "core/dtype.h"
#include "tensor/kernel_table.h"

namespace moat::tensor::cuda {

// `dtype`: f32 or bf16, the table's element type.
void FillMatMul(core::DType dtype, KernelTable& table);
void FillFloat8(core::DType dtype, KernelTable& table);
void FillEmbedding(core::DType dtype, KernelTable& table);
void FillNorm(core::DType dtype, KernelTable& table);
void FillAttention(core::DType dtype, KernelTable& table);
void FillAttentionGrad(core::DType dtype, KernelTable& table);
void FillAttentionLimits(core::DType dtype, KernelTable& table);
void FillActivation(core::DType dtype, KernelTable& table);
void FillLoss(core::DType dtype, KernelTable& table);
void FillOptimizer(KernelTable& table);

// Shared memory that a block of attention's largest kernel wants. Throws ConfigError for heads that
// are too wide for any.
size_t AttentionSharedBytes(core::DType dtype, int64_t head_width);      // attention.cu
size_t AttentionGradSharedBytes(core::DType dtype, int64_t head_width);  // attention_grad.cu
// How many sequences' deltas fit into a stream's workspace. Throws ConfigError when none does.
int64_t SequencesAtOnce(const AttentionShape& shape);

const KernelTable& Kernels(core::DType dtype);

}  // namespace moat::tensor::cuda
