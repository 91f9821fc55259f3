// Plans of matrix products.
//
// cuBLASLt counts in columns, we in rows. Our c [m, n] in rows is its matrix of n rows and m
// columns, which is op(b)^T op(a)^T: its left factor is our b and its right one our a, each as it
// lies in memory. A bias along its rows is one along our columns.
#include "tensor/cuda/matmul_plan.h"

#include <bit>
#include <cstring>
#include <string>

#include "core/error.h"

namespace moat::tensor::cuda {
namespace {

cudaDataType TypeOf(core::DType dtype) {
  return dtype == core::DType::kBF16 ? CUDA_R_16BF : CUDA_R_32F;
}

template <typename T>
void Set(const MatmulHandle& product, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  Check(cublasLtMatmulDescSetAttribute(product.get(), attribute, &value, sizeof value),
        "describing a product");
}

template <typename T>
void Set(const PreferenceHandle& wish, cublasLtMatmulPreferenceAttributes_t attribute,
         const T& value) {
  Check(cublasLtMatmulPreferenceSetAttribute(wish.get(), attribute, &value, sizeof value),
        "describing a choice");
}

LayoutHandle Layout(core::DType dtype, int64_t rows, int64_t columns) {
  LayoutHandle layout;
  Check(cublasLtMatrixLayoutCreate(layout.out(), TypeOf(dtype), static_cast<uint64_t>(rows),
                                   static_cast<uint64_t>(columns), rows),
        "describing a matrix");
  return layout;
}

std::string TextOf(const MatmulShape& s) {
  return "[" + std::to_string(s.m) + ", " + std::to_string(s.k) + "] x [" + std::to_string(s.k) +
         ", " + std::to_string(s.n) + "] in " + Name(s.dtype) + " to " + Name(s.c_dtype) +
         (s.bias ? " with a bias" : "");
}

}  // namespace

void Check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const std::string text =
      std::string("cuBLASLt: ") + what + ": " + cublasLtGetStatusString(status);
  if (status == CUBLAS_STATUS_ALLOC_FAILED) throw core::OutOfMemoryError(text);
  throw core::BugError(text);
}

int AlignmentOf(const void* memory) {
  return 1 << std::countr_zero(reinterpret_cast<uintptr_t>(memory) | 16u);
}

MatmulPlan::MatmulPlan(const MatmulShape& shape, cublasLtHandle_t blas, size_t workspace_bytes)
    : beta_(shape.accumulate ? 1.0f : 0.0f), bias_(shape.bias) {
  MOAT_CHECK(!(shape.accumulate && shape.bias), "a bias would be added twice");
  Describe(shape);
  Choose(shape, blas, workspace_bytes);
}

void MatmulPlan::Describe(const MatmulShape& shape) {
  Check(cublasLtMatmulDescCreate(product_.out(), CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "describing a product");
  Set(product_, CUBLASLT_MATMUL_DESC_TRANSA, shape.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  Set(product_, CUBLASLT_MATMUL_DESC_TRANSB, shape.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (shape.bias) {
    Set(product_, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    Set(product_, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, TypeOf(shape.dtype));
  }
  left_ =
      shape.trans_b ? Layout(shape.dtype, shape.k, shape.n) : Layout(shape.dtype, shape.n, shape.k);
  right_ =
      shape.trans_a ? Layout(shape.dtype, shape.m, shape.k) : Layout(shape.dtype, shape.k, shape.m);
  result_ = Layout(shape.c_dtype, shape.n, shape.m);
}

void MatmulPlan::Choose(const MatmulShape& shape, cublasLtHandle_t blas, size_t workspace_bytes) {
  PreferenceHandle wish;
  Check(cublasLtMatmulPreferenceCreate(wish.out()), "describing a choice");
  Set(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes);
  Set(wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  Set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<uint32_t>(shape.b_alignment));
  Set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<uint32_t>(shape.a_alignment));
  Set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<uint32_t>(shape.c_alignment));
  Set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<uint32_t>(shape.c_alignment));
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(blas, product_.get(), left_.get(), right_.get(), result_.get(),
                                     result_.get(), wish.get(), 1, &best, &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && found == 0)) {
    throw core::ConfigError("cuBLASLt has no algorithm for the product " + TextOf(shape));
  }
  Check(status, "choosing an algorithm");
  algorithm_ = best.algo;
}

void MatmulPlan::Run(const void* a, const void* b, const void* bias, void* c, cublasLtHandle_t blas,
                     void* workspace, size_t workspace_bytes, cudaStream_t stream) const {
  if (bias_) Set(product_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  const float one = 1;
  Check(cublasLtMatmul(blas, product_.get(), &one, b, left_.get(), a, right_.get(), &beta_, c,
                       result_.get(), c, result_.get(), &algorithm_, workspace, workspace_bytes,
                       stream),
        "a matrix product");
}

}  // namespace moat::tensor::cuda
