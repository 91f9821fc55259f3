// The rate that a device's tensor cores are sold with, to compare a run's own with.
#pragma once

#include <string>

namespace moat::tensor {

// FLOP/s of dense bf16 products with f32 sums of the device that calls itself `name`, as NVIDIA's
// data sheets have it (without sparsity); 0: not in the table.
double DenseBf16Peak(const std::string& name);

}  // namespace moat::tensor
