// The CPU kernels by family; kernels.cc puts them into the tables. See ops.h for what each
// computes.
//
// Each is written once, for an element type T (float, core::BFloat16): values are widened when
// loaded, computed in f32, rounded when stored.
#pragma once

#include "tensor/kernel_table.h"

namespace moat::tensor::cpu {

template <typename T>
void FillMatMul(KernelTable& table);
template <typename T>
void FillFloat8(KernelTable& table);
template <typename T>
void FillEmbedding(KernelTable& table);
template <typename T>
void FillNorm(KernelTable& table);
template <typename T>
void FillLayerNorm(KernelTable& table);
template <typename T>
void FillAttention(KernelTable& table);
template <typename T>
void FillActivation(KernelTable& table);
template <typename T>
void FillLoss(KernelTable& table);
void FillOptimizer(KernelTable& table);

}  // namespace moat::tensor::cpu
