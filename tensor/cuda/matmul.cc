// Matrix products through cuBLASLt.
#include <map>

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
  const MatmulPlan& PlanOf(const MatmulShape& shape) {
    const auto found = plans_.find(shape);
    if (found != plans_.end()) return found->second;
    return plans_.emplace(shape, MatmulPlan(shape, blas_.get(), kWorkspaceBytes)).first->second;
  }

 private:
  BlasHandle blas_;
  std::map<MatmulShape, MatmulPlan> plans_;
};

PlannedProducts& ProductsOf(CudaStream& queue) {
  if (!queue.products()) queue.products() = std::make_unique<PlannedProducts>();
  return static_cast<PlannedProducts&>(*queue.products());
}

template <core::DType dtype>
void MatMul(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const void* a,
            const void* b, const void* bias, void* c, bool c_is_f32, bool accumulate,
            const Stream& stream) {
  CudaStream& queue = Of(stream);
  PlannedProducts& products = ProductsOf(queue);
  const MatmulShape shape{trans_a,
                          trans_b,
                          m,
                          n,
                          k,
                          dtype,
                          c_is_f32 ? core::DType::kF32 : dtype,
                          accumulate,
                          bias != nullptr,
                          AlignmentOf(a),
                          AlignmentOf(b),
                          AlignmentOf(c)};
  products.PlanOf(shape).Run(a, b, bias, c, products.blas(), queue.workspace(), kWorkspaceBytes,
                             queue.get());
}

}  // namespace

void FillMatMul(core::DType dtype, KernelTable& table) {
  table.matmul =
      dtype == core::DType::kF32 ? MatMul<core::DType::kF32> : MatMul<core::DType::kBF16>;
}

}  // namespace moat::tensor::cuda
