// One sequential matrix product over strided memory: what tiles of MatMul and of attention are made
// of.
//
// f32 and bf16 go to oneDNN's matmul primitive, made once per thread and shape; where the processor
// has no bf16 products, bf16 operands are widened first.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace moat::tensor::cpu {

// c [m, n] = a [m, k] b [k, n] + bias, or c += a b. Element (i, j) of a matrix stands at i * row +
// j * column; one of the two is 1. c's columns stand side by side.
struct ProductShape {
  int64_t m, n, k;
  int64_t a_row, a_column;
  int64_t b_row, b_column;
  int64_t c_row;
  bool c_is_f32 = true;  // or of the operands' type
  bool accumulate = false;
  bool has_bias = false;

  bool operator==(const ProductShape&) const = default;
};

// T: float or core::BFloat16, the type of a, b and bias [n] (null without one). Sums are f32.
// Bits depend on the shape and the values only. REQUIRES: called inside ParallelFor.
template <typename T>
void Product(const ProductShape& shape, const T* a, const T* b, const T* bias, void* c);

// The same from f32 copies of bf16 operands, on any processor.
void WidenedProduct(const ProductShape& shape, const core::BFloat16* a, const core::BFloat16* b,
                    const core::BFloat16* bias, void* c);

}  // namespace moat::tensor::cpu
