// Elements of a table's type as f32, and sums over a block of threads in a fixed order.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

namespace moat::tensor::cuda {

__device__ inline float Load(const float* x) { return *x; }
__device__ inline float Load(const __nv_bfloat16* x) { return __bfloat162float(*x); }
__device__ inline void Store(float value, float* to) { *to = value; }
__device__ inline void Store(float value, __nv_bfloat16* to) { *to = __float2bfloat16_rn(value); }

// The sum of `value` over the block's threads, on all of them: within warps, then over warps, each
// as one tree, so that bits depend on the values alone. REQUIRES: called by all kThreads threads.
template <int kThreads>
__device__ inline float BlockSum(float value) {
  static_assert(kThreads % 32 == 0 && kThreads <= 1024);
  __shared__ float sums[kThreads / 32];
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = value;
  __syncthreads();
  value = threadIdx.x % 32 < kThreads / 32 ? sums[threadIdx.x % 32] : 0.0f;
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  __syncthreads();  // before the next sum writes
  return value;
}

}  // namespace moat::tensor::cuda
