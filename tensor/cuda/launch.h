// The one place where kernels are started.
//
// Kernels are written so that a test can also run them on a host: nothing but this file starts
// them, they use CUDA's plain names (threadIdx, __syncthreads, __shfl_xor_sync, ...), and what has
// no name in C++ stands in instruction.cuh. tests/gpu/emulator/ gives all of these on a CPU.
#pragma once

#include <utility>

#include "tensor/cuda/stream.h"

namespace moat::tensor::cuda {

inline constexpr size_t kPlainSharedBytes = 48 << 10;  // what a kernel may use without asking

// Enqueues `kernel` on the stream, with `shared` bytes of DynamicShared() per block. `what` names
// it in errors of the start; what goes wrong later comes with the stream. An empty grid is no work.
template <typename... Parameters, typename... Arguments>
void Launch(const char* what, const Stream& stream, void (*kernel)(Parameters...), dim3 grid,
            dim3 block, size_t shared, const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  if (shared > kPlainSharedBytes) {
    Check(
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)),
        what);
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  config.stream = Of(stream).get();
  Check(cudaLaunchKernelEx(&config, kernel, arguments...), what);
}

// Blocks of `each` that hold `count`.
inline unsigned Blocks(int64_t count, int64_t each) {
  return static_cast<unsigned>((count + each - 1) / each);
}

}  // namespace moat::tensor::cuda
