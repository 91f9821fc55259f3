// The CPU's kernel table.
#include "tensor/kernel_table.h"

namespace moat::tensor {

const KernelTable& CpuKernels() {
  static const KernelTable table{};
  return table;
}

}  // namespace moat::tensor
