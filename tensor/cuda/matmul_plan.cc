// Plans of matrix products.
//
// cuBLASLt counts in columns, we in rows. Our c [m, n] in rows is its matrix of n rows and m
// columns, which is op(b)^T op(a)^T: its left factor is our b and its right one our a, each as it
// lies in memory. A bias along its rows is one along our columns.
#include "tensor/cuda/matmul_plan.h"

#include <bit>
#include <charconv>
#include <iterator>
#include <sstream>

#include "core/digest.h"
#include "core/error.h"
#include "core/float8.h"

namespace moat::tensor::cuda {
namespace {

cudaDataType TypeOf(core::DType dtype) {
  switch (dtype) {
    case core::DType::kBF16:
      return CUDA_R_16BF;
    case core::DType::kE4M3:
      return CUDA_R_8F_E4M3;
    case core::DType::kE5M2:
      return CUDA_R_8F_E5M2;
    default:
      return CUDA_R_32F;
  }
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

std::string TextOf(const MatmulShape& s) {
  std::ostringstream text;
  text << s.m << " x " << s.k << (s.trans_a ? "^T times " : " times ") << s.k << " x " << s.n
       << (s.trans_b ? "^T in " : " in ") << Name(s.a_dtype);
  if (s.b_dtype != s.a_dtype) text << " and " << Name(s.b_dtype);
  text << " to " << Name(s.c_dtype);
  if (s.accumulate) text << ", added";
  if (s.bias) text << ", bias";
  if (s.ending == Ending::kGelu) text << ", gelu";
  if (s.ending == Ending::kGeluGrad) text << ", gradient of gelu";
  if (s.ending == Ending::kBiasGrad) text << ", gradient of bias";
  text << ", aligned to";
  for (const int alignment :
       {s.a_alignment, s.b_alignment, s.c_alignment, s.bias_alignment, s.before_alignment}) {
    text << " " << alignment;
  }
  return text.str();
}

bool MayEndIn(const MatmulShape& shape) {
  constexpr int64_t kBeforeRows = 8;  // what the library wants to divide the rows of `before`
  const bool before = shape.ending == Ending::kGelu || shape.ending == Ending::kGeluGrad;
  return !before || shape.n % kBeforeRows == 0;
}

MatmulPlan::MatmulPlan(const MatmulShape& shape, const MatmulOperands& operands)
    : beta_(shape.accumulate ? 1.0f : 0.0f) {
  MOAT_CHECK(!(shape.accumulate && shape.bias), "a bias would be added twice");
  Check(cublasLtMatmulDescCreate(product_.out(), CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "describing a product");
  Set(product_, CUBLASLT_MATMUL_DESC_TRANSA, shape.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  Set(product_, CUBLASLT_MATMUL_DESC_TRANSB, shape.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  DescribeEnding(shape);
  left_ = shape.trans_b ? Layout(shape.b_dtype, shape.k, shape.n)
                        : Layout(shape.b_dtype, shape.n, shape.k);
  right_ = shape.trans_a ? Layout(shape.a_dtype, shape.m, shape.k)
                         : Layout(shape.a_dtype, shape.k, shape.m);
  result_ = Layout(shape.c_dtype, shape.n, shape.m);
  Point(operands);
}

// cuBLASLt's GELU is the approximation with tanh. Its gradient of a bias beside that of GELU is of
// the results' type, bf16, where ours is f32: so that one is taken beside the gradient of weights,
// from the right factor (our a), whose results are f32.
void MatmulPlan::DescribeEnding(const MatmulShape& shape) {
  const auto epilogue = [&]() -> cublasLtEpilogue_t {
    switch (shape.ending) {
      case Ending::kGelu:
        return shape.bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
      case Ending::kGeluGrad:
        return CUBLASLT_EPILOGUE_DGELU;
      case Ending::kBiasGrad:
        return CUBLASLT_EPILOGUE_BGRADB;
      case Ending::kNone:
        break;
    }
    return shape.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  };
  Set(product_, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue());
  if (shape.bias) Set(product_, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, TypeOf(shape.bias_dtype));
  if (shape.ending == Ending::kGelu || shape.ending == Ending::kGeluGrad) {
    Set(product_, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, shape.n);
  }
}

// A choice depends on how these are aligned, too. Sums of FP8 are promoted to f32 as they go:
// CUBLASLT_MATMUL_DESC_FAST_ACCUM, which would leave that out, is off unless it is set.
void MatmulPlan::Point(const MatmulOperands& operands) const {
  if (operands.bias != nullptr) Set(product_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, operands.bias);
  if (operands.before != nullptr) {
    Set(product_, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, operands.before);
  }
  if (operands.a_scale != nullptr) {
    Set(product_, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, operands.b_scale);
    Set(product_, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, operands.a_scale);
  }
}

std::vector<cublasLtMatmulAlgo_t> MatmulPlan::Proposals(const MatmulShape& shape,
                                                        cublasLtHandle_t blas,
                                                        size_t workspace_bytes, int most) const {
  PreferenceHandle wish;
  Check(cublasLtMatmulPreferenceCreate(wish.out()), "describing a choice");
  Set(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes);
  Set(wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  Set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<uint32_t>(shape.b_alignment));
  Set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<uint32_t>(shape.a_alignment));
  Set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<uint32_t>(shape.c_alignment));
  Set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<uint32_t>(shape.c_alignment));
  std::vector<cublasLtMatmulHeuristicResult_t> results(static_cast<size_t>(most));
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(blas, product_.get(), left_.get(), right_.get(), result_.get(),
                                     result_.get(), wish.get(), most, results.data(), &found);
  const bool fused = shape.ending != Ending::kNone;
  const bool special = fused || core::IsFloat8(shape.a_dtype);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_INVALID_VALUE && special)) {
    return {};  // an ending or a pair of types that the library has not may be either
  }
  Check(status, "choosing an algorithm");
  std::vector<cublasLtMatmulAlgo_t> proposals;
  for (int i = 0; i < found; ++i) {
    const auto& result = results[static_cast<size_t>(i)];
    if (result.state == CUBLAS_STATUS_SUCCESS) proposals.push_back(result.algo);
  }
  return proposals;
}

std::string MatmulPlan::algorithm() const {
  std::string text;
  for (const uint64_t word : algorithm_.data) text += core::Hex(word);
  return text;
}

void MatmulPlan::Take(const std::string& algorithm, cublasLtHandle_t blas) {
  constexpr size_t kDigits = 16;  // of a word
  cublasLtMatmulAlgo_t taken{};
  bool right = algorithm.size() == kDigits * std::size(taken.data);
  for (size_t i = 0; right && i < std::size(taken.data); ++i) {
    const char* const begin = algorithm.data() + i * kDigits;
    const auto parsed = std::from_chars(begin, begin + kDigits, taken.data[i], 16);
    right = parsed.ec == std::errc() && parsed.ptr == begin + kDigits;
  }
  cublasLtMatmulHeuristicResult_t result{};
  right = right &&
          cublasLtMatmulAlgoCheck(blas, product_.get(), left_.get(), right_.get(), result_.get(),
                                  result_.get(), &taken, &result) == CUBLAS_STATUS_SUCCESS;
  if (!right) {
    throw core::ConfigError("cuBLASLt does not take the algorithm " + algorithm +
                            " that was saved for a product; remove the run's choices of products "
                            "to have them tuned again");
  }
  algorithm_ = taken;
}

void MatmulPlan::Run(const MatmulOperands& operands, cublasLtHandle_t blas, void* workspace,
                     size_t workspace_bytes, cudaStream_t stream) const {
  Point(operands);
  const float one = 1;
  Check(cublasLtMatmul(blas, product_.get(), &one, operands.b, left_.get(), operands.a,
                       right_.get(), &beta_, operands.c, result_.get(), operands.c, result_.get(),
                       &algorithm_, workspace, workspace_bytes, stream),
        "a matrix product");
}

}  // namespace moat::tensor::cuda
