// Matrix products through cuBLASLt.
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/stream.h"

namespace moat::tensor::cuda {
namespace {

template <core::DType dtype>
void MatMul(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const void* a,
            const void* b, const void* bias, void* c, bool c_is_f32, bool accumulate,
            const Stream& stream) {
  CudaStream& queue = Of(stream);
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
  queue.PlanOf(shape).Run(a, b, bias, c, queue.blas(), queue.workspace(), kWorkspaceBytes,
                          queue.get());
}

}  // namespace

void FillMatMul(core::DType dtype, KernelTable& table) {
  table.matmul =
      dtype == core::DType::kF32 ? MatMul<core::DType::kF32> : MatMul<core::DType::kBF16>;
}

}  // namespace moat::tensor::cuda
