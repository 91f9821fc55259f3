// How cuBLASLt computes one shape of matrix product: descriptors and the algorithm, chosen once.
#pragma once

#include <compare>
#include <cstdint>

#include "core/dtype.h"
#include "tensor/cuda/blas_handle.h"

namespace moat::tensor::cuda {

// What the choice depends on. As in ops.h, row-major: c [m, n] = op(a) op(b).
struct MatmulShape {
  bool trans_a, trans_b;
  int64_t m, n, k;
  core::DType dtype;  // of a, b and the bias
  core::DType c_dtype;
  bool accumulate;
  bool bias;
  int a_alignment, b_alignment, c_alignment;  // bytes, powers of two up to 16
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the comparison's zero for a pointer
  auto operator<=>(const MatmulShape&) const = default;
};

// The largest power of two up to 16 that divides the address.
int AlignmentOf(const void* memory);

class MatmulPlan {
 public:
  // Throws ConfigError when cuBLASLt has no algorithm for the shape.
  //
  // Sums are taken in f32, of true f32 products where the inputs are f32 (no TF32). Algorithms that
  // add partial sums in whatever order they arrive are left out, so that a plan gives the same bits
  // every time.
  MatmulPlan(const MatmulShape& shape, cublasLtHandle_t blas, size_t workspace_bytes);

  // Enqueues the product. `bias` is null unless the shape has one.
  void Run(const void* a, const void* b, const void* bias, void* c, cublasLtHandle_t blas,
           void* workspace, size_t workspace_bytes, cudaStream_t stream) const;

 private:
  void Describe(const MatmulShape& shape);
  void Choose(const MatmulShape& shape, cublasLtHandle_t blas, size_t workspace_bytes);

  MatmulHandle product_;
  LayoutHandle left_, right_, result_;
  cublasLtMatmulAlgo_t algorithm_{};
  float beta_ = 0;
  bool bias_ = false;
};

}  // namespace moat::tensor::cuda
