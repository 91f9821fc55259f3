// What an op says on a device that has no kernel for it yet.
#pragma once

#include "core/device_kind.h"
#include "tensor/kernel_table.h"

namespace moat::tensor {

// Puts a function into every empty entry of `table` that throws ConfigError naming op and device.
// For tables that are not whole: a device's own kernels stay.
template <core::DeviceKind device>
void RefuseMissingKernels(KernelTable* table);

extern template void RefuseMissingKernels<core::DeviceKind::kCpu>(KernelTable*);
extern template void RefuseMissingKernels<core::DeviceKind::kCuda>(KernelTable*);

}  // namespace moat::tensor
