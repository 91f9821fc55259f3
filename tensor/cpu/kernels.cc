// The CPU's kernel table.
#include "tensor/cpu/kernels.h"

#include <string>

#include "core/error.h"

namespace moat::tensor {

const KernelTable& CpuKernels(core::DType dtype) {
  static const KernelTable f32 = [] {
    KernelTable table{};
    cpu::FillMatMul(table);
    cpu::FillEmbedding(table);
    cpu::FillNorm(table);
    cpu::FillLayerNorm(table);
    cpu::FillAttention(table);
    cpu::FillActivation(table);
    cpu::FillLoss(table);
    cpu::FillOptimizer(table);
    return table;
  }();
  if (dtype != core::DType::kF32) {
    throw core::ConfigError(std::string("the CPU backend computes in f32, not in ") + Name(dtype));
  }
  return f32;
}

}  // namespace moat::tensor
