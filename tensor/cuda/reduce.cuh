// Sums and maxima over a warp or a block, each as one tree, so that bits depend on the values
// alone.
#pragma once

#include <cuda_runtime.h>

namespace moat::tensor::cuda {

inline constexpr unsigned kWholeWarp = 0xffffffffu;

struct Sum {
  static constexpr float kNothing = 0;
  template <typename T>
  __device__ static T Of(T a, T b) {
    return a + b;
  }
};

struct Largest {
  static constexpr float kNothing = -INFINITY;
  __device__ static float Of(float a, float b) { return fmaxf(a, b); }
};

// Over groups of kLanes neighbouring lanes, on all of them.
template <typename Operation, int kLanes = 32, typename T>
__device__ inline T OverLanes(T value) {
#pragma unroll
  for (int step = kLanes / 2; step > 0; step /= 2) {
    value = Operation::Of(value, __shfl_xor_sync(kWholeWarp, value, step));
  }
  return value;
}

// Over the block's threads, on all of them: within warps, then over warps. REQUIRES: called by all
// kThreads threads.
template <typename Operation, int kThreads, typename T>
__device__ inline T OverBlock(T value) {
  static_assert(kThreads % 32 == 0 && kThreads <= 1024);
  __shared__ T of_warps[kThreads / 32];
  value = OverLanes<Operation>(value);
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
  __syncthreads();
  value = threadIdx.x % 32 < kThreads / 32 ? of_warps[threadIdx.x % 32] : T(Operation::kNothing);
  value = OverLanes<Operation>(value);
  __syncthreads();  // before the next one writes
  return value;
}

}  // namespace moat::tensor::cuda
