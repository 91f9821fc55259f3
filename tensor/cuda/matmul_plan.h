// How cuBLASLt computes one shape of matrix product: descriptors and the algorithm, chosen once.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

#include "core/dtype.h"
#include "tensor/cuda/blas_handle.h"

namespace moat::tensor::cuda {

// What the choice depends on. As in ops.h, row-major: c [m, n] = op(a) op(b).
enum class Ending { kNone, kGelu, kGeluGrad, kBiasGrad };  // FusedProduct's, or none
struct MatmulShape {
  bool trans_a, trans_b;
  int64_t m, n, k;
  core::DType dtype;  // of a, b and the bias
  core::DType c_dtype;
  bool accumulate;
  bool bias;
  Ending ending;
  // Bytes, powers of two up to 16; 16 for what there is none of.
  int a_alignment, b_alignment, c_alignment, bias_alignment, before_alignment;
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the comparison's zero for a pointer
  auto operator<=>(const MatmulShape&) const = default;
};

// The largest power of two up to 16 that divides the address.
int AlignmentOf(const void* memory);

// Memory of one product; null for what the shape has not.
struct MatmulOperands {
  const void *a, *b;
  const void* bias;  // or, of Ending::kBiasGrad, the sums that are written
  void* before;      // FusedProduct's
  void* c;
};

class MatmulPlan {
 public:
  // Nothing where cuBLASLt has no algorithm for the shape. `operands`: of a first product; later
  // ones are aligned alike.
  //
  // Sums are taken in f32, of true f32 products where the inputs are f32 (no TF32). Algorithms that
  // add partial sums in whatever order they arrive are left out, so that a plan gives the same bits
  // every time.
  static std::optional<MatmulPlan> Make(const MatmulShape& shape, const MatmulOperands& operands,
                                        cublasLtHandle_t blas, size_t workspace_bytes);

  // Enqueues the product.
  void Run(const MatmulOperands& operands, cublasLtHandle_t blas, void* workspace,
           size_t workspace_bytes, cudaStream_t stream) const;

 private:
  explicit MatmulPlan(const MatmulShape& shape);
  void DescribeEnding(const MatmulShape& shape);
  void Point(const MatmulOperands& operands) const;
  bool Choose(const MatmulShape& shape, cublasLtHandle_t blas, size_t workspace_bytes);

  MatmulHandle product_;
  LayoutHandle left_, right_, result_;
  cublasLtMatmulAlgo_t algorithm_{};
  float beta_ = 0;
};

// For people: "8 x 16 times 16 x 32 in bf16 to f32 with a bias".
std::string TextOf(const MatmulShape& shape);

}  // namespace moat::tensor::cuda
