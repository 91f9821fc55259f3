// The CPU kernels by family; kernels.cc puts them into the table. See ops.h for what each computes.
#pragma once

#include "tensor/kernel_table.h"

namespace moat::tensor::cpu {

void FillMatMul(KernelTable& table);
void FillEmbedding(KernelTable& table);
void FillNorm(KernelTable& table);
void FillLayerNorm(KernelTable& table);
void FillAttention(KernelTable& table);
void FillActivation(KernelTable& table);
void FillLoss(KernelTable& table);
void FillOptimizer(KernelTable& table);

}  // namespace moat::tensor::cpu
