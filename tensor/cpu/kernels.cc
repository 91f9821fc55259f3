// The CPU's kernel tables.
#include "tensor/cpu/kernels.h"

#include <string>

#include "core/error.h"

namespace moat::tensor {

namespace {

template <typename T>
KernelTable MakeTable() {
  KernelTable table{};
  cpu::FillMatMul<T>(table);
  cpu::FillFloat8<T>(table);
  cpu::FillEmbedding<T>(table);
  cpu::FillNorm<T>(table);
  cpu::FillLayerNorm<T>(table);
  cpu::FillAttention<T>(table);
  cpu::FillActivation<T>(table);
  cpu::FillLoss<T>(table);
  cpu::FillOptimizer(table);
  return table;
}

}  // namespace

const KernelTable& CpuKernels(core::DType dtype) {
  static const KernelTable f32 = MakeTable<float>(), bf16 = MakeTable<core::BFloat16>();
  if (dtype == core::DType::kF32) return f32;
  if (dtype == core::DType::kBF16) return bf16;
  throw core::ConfigError(std::string("the CPU computes in f32 and bf16, not in ") + Name(dtype));
}

}  // namespace moat::tensor
