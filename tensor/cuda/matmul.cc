// Matrix products through cuBLASLt.
#include <map>
#include <optional>

#include "core/error.h"
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/matmul_plan.h"
#include "tensor/cuda/stream.h"

namespace moat::tensor::cuda {
namespace {

// cuBLASLt's handle and the plans made so far.
class PlannedProducts : public StreamProducts {
 public:
  PlannedProducts() { Check(cublasLtCreate(blas_.out()), "cublasLtCreate"); }
  cublasLtHandle_t blas() const { return blas_.get(); }
  // Nothing where the library has no algorithm.
  const std::optional<MatmulPlan>& PlanOf(const MatmulShape& shape,
                                          const MatmulOperands& operands) {
    const auto found = plans_.find(shape);
    if (found != plans_.end()) return found->second;
    return plans_.emplace(shape, MatmulPlan::Make(shape, operands, blas_.get(), kWorkspaceBytes))
        .first->second;
  }

 private:
  BlasHandle blas_;
  std::map<MatmulShape, std::optional<MatmulPlan>> plans_;
};

PlannedProducts& ProductsOf(CudaStream& queue) {
  if (!queue.products()) queue.products() = std::make_unique<PlannedProducts>();
  return static_cast<PlannedProducts&>(*queue.products());
}

// False where the library has no algorithm.
bool Enqueue(MatmulShape shape, const MatmulOperands& operands, const Stream& stream) {
  CudaStream& queue = Of(stream);
  PlannedProducts& products = ProductsOf(queue);
  shape.a_alignment = AlignmentOf(operands.a);
  shape.b_alignment = AlignmentOf(operands.b);
  shape.c_alignment = AlignmentOf(operands.c);
  shape.bias_alignment = AlignmentOf(operands.bias);
  shape.before_alignment = AlignmentOf(operands.before);
  const std::optional<MatmulPlan>& plan = products.PlanOf(shape, operands);
  if (!plan) return false;
  plan->Run(operands, products.blas(), queue.workspace(), kWorkspaceBytes, queue.get());
  return true;
}

template <core::DType dtype>
void MatMul(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const void* a,
            const void* b, const void* bias, void* c, bool c_is_f32, bool accumulate,
            const Stream& stream) {
  MatmulShape shape{};
  shape.trans_a = trans_a;
  shape.trans_b = trans_b;
  shape.m = m;
  shape.n = n;
  shape.k = k;
  shape.dtype = dtype;
  shape.c_dtype = c_is_f32 ? core::DType::kF32 : dtype;
  shape.accumulate = accumulate;
  shape.bias = bias != nullptr;
  if (!Enqueue(shape, {a, b, bias, nullptr, c}, stream)) {
    throw core::ConfigError("cuBLASLt has no algorithm for the product " + TextOf(shape));
  }
}

Ending EndingOf(FusedProduct::Ending ending) {
  switch (ending) {
    case FusedProduct::Ending::kGelu:
      return Ending::kGelu;
    case FusedProduct::Ending::kGeluGrad:
      return Ending::kGeluGrad;
    case FusedProduct::Ending::kBiasGrad:
      break;
  }
  return Ending::kBiasGrad;
}

template <core::DType dtype>
bool Fused(const FusedProduct& p, const Stream& stream) {
  MatmulShape shape{};
  shape.trans_a = p.trans_a;
  shape.trans_b = p.trans_b;
  shape.m = p.m;
  shape.n = p.n;
  shape.k = p.k;
  shape.dtype = dtype;
  shape.c_dtype = p.c_is_f32 ? core::DType::kF32 : dtype;
  shape.bias = p.bias != nullptr;
  shape.ending = EndingOf(p.ending);
  const void* const bias = p.dbias != nullptr ? p.dbias : p.bias;
  return Enqueue(shape, {p.a, p.b, bias, p.before, p.c}, stream);
}

template <core::DType dtype>
void Fill(KernelTable& table) {
  table.matmul = MatMul<dtype>;
  table.fused_product = Fused<dtype>;
}

}  // namespace

void FillMatMul(core::DType dtype, KernelTable& table) {
  dtype == core::DType::kF32 ? Fill<core::DType::kF32>(table) : Fill<core::DType::kBF16>(table);
}

}  // namespace moat::tensor::cuda
