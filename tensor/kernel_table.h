// The kernels of one device: a struct of function pointers over raw pointers and extents. ops.cc
// validates, then calls one of these.
#pragma once

namespace moat::tensor {

struct KernelTable {};

const KernelTable& CpuKernels();

}  // namespace moat::tensor
