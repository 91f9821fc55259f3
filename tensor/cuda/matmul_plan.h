// How cuBLASLt computes one shape of matrix product: descriptors and the algorithm, chosen once.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "tensor/cuda/blas_handle.h"

namespace moat::tensor::cuda {

// What the choice depends on. As in ops.h, row-major: c [m, n] = op(a) op(b).
enum class Ending { kNone, kGelu, kGeluGrad, kBiasGrad };  // FusedProduct's, or none
struct MatmulShape {
  bool trans_a, trans_b;
  int64_t m, n, k;
  // Of a and b: one type, or two of FP8, which the library takes without trans_a and with trans_b
  // only (on Hopper and before).
  core::DType a_dtype, b_dtype;
  core::DType c_dtype;
  core::DType bias_dtype;
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
  const float* a_scale = nullptr;  // of FP8, on the device
  const float* b_scale = nullptr;
};

// Whether the library's endings take such a shape at all.
bool MayEndIn(const MatmulShape& shape);

class MatmulPlan {
 public:
  // Without an algorithm yet. `operands`: of a first product; later ones are aligned alike.
  MatmulPlan(const MatmulShape& shape, const MatmulOperands& operands);

  // Up to `most` algorithms, the library's favourite first; none where it has none.
  //
  // Sums are taken in f32, of true f32 products where the inputs are f32 (no TF32). Algorithms that
  // add partial sums in whatever order they arrive are left out, so that a plan gives the same bits
  // every time.
  std::vector<cublasLtMatmulAlgo_t> Proposals(const MatmulShape& shape, cublasLtHandle_t blas,
                                              size_t workspace_bytes, int most) const;
  void Take(const cublasLtMatmulAlgo_t& algorithm) { algorithm_ = algorithm; }
  // The algorithm as text (its bytes, which mean something to one version of the library), and
  // back. Throws ConfigError for one that the library does not take for this product.
  std::string algorithm() const;
  void Take(const std::string& algorithm, cublasLtHandle_t blas);

  // Enqueues the product. REQUIRES: an algorithm was taken.
  void Run(const MatmulOperands& operands, cublasLtHandle_t blas, void* workspace,
           size_t workspace_bytes, cudaStream_t stream) const;

 private:
  void DescribeEnding(const MatmulShape& shape);
  void Point(const MatmulOperands& operands) const;

  MatmulHandle product_;
  LayoutHandle left_, right_, result_;
  cublasLtMatmulAlgo_t algorithm_{};
  float beta_ = 0;
};

// All of a shape, for people and as its name in ProductChoices: "8 x 16 times 16 x 32^T in bf16 to
// f32, bias, aligned to 16 16 16 16 16"; of two types "in e5m2 and e4m3 to bf16".
std::string TextOf(const MatmulShape& shape);

}  // namespace moat::tensor::cuda
