// CUDA's kernel tables: what is there, and a refusal in place of what is not.
#include "tensor/cuda/kernels.h"

#include <string>

#include "core/error.h"
#include "tensor/missing_kernels.h"

namespace moat::tensor::cuda {
namespace {

KernelTable Make(core::DType dtype) {
  KernelTable table{};
  FillMatMul(dtype, table);
  FillFloat8(dtype, table);
  FillEmbedding(dtype, table);
  FillNorm(dtype, table);
  FillAttention(dtype, table);
  FillAttentionGrad(dtype, table);
  FillAttentionLimits(dtype, table);
  FillActivation(dtype, table);
  FillLoss(dtype, table);
  FillOptimizer(table);
  RefuseMissingKernels<core::DeviceKind::kCuda>(&table);
  return table;
}

}  // namespace

const KernelTable& Kernels(core::DType dtype) {
  static const KernelTable f32 = Make(core::DType::kF32);
  static const KernelTable bf16 = Make(core::DType::kBF16);
  if (dtype == core::DType::kF32) return f32;
  if (dtype == core::DType::kBF16) return bf16;
  throw core::ConfigError(std::string("the CUDA backend computes in f32 and bf16, not in ") +
                          Name(dtype));
}

}  // namespace moat::tensor::cuda
