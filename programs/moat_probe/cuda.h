// The CUDA devices of this machine, tried out through moat's own backend.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/device.h"

namespace moat::programs {

struct CudaDeviceProbe {
  std::string product_problem;  // of a cuBLASLt product whose result is known; "": it is right
  double f32_gflops = 0;        // of products of 4,096 by 4,096 by 4,096
  double bf16_gflops = 0;
  std::string nccl_problem;  // of a sum of one rank; "": it is right
};

struct CudaProbe {
  tensor::CudaReport report;
  int nccl = 0;                          // version, 0: not in this build
  std::vector<CudaDeviceProbe> devices;  // one for each of the report's
};

CudaProbe ProbeCuda();

}  // namespace moat::programs
