// Numbers to FP8's codes, 16 at a time.
#pragma once

#include <cuda_fp8.h>

#include "core/float8.h"
#include "tensor/cuda/element.cuh"

namespace moat::tensor::cuda {

inline constexpr int kFloat8Pack = core::kFloat8Step;  // codes of 16 bytes

// Two codes, the first number's in the lower byte; as core::EncodeFloat8.
template <bool e5m2>
__device__ inline uint32_t TwoCodes(float first, float second) {
  return __nv_cvt_float2_to_fp8x2(float2{first, second}, __NV_SATFINITE,
                                  e5m2 ? __NV_E5M2 : __NV_E4M3);
}

// REQUIRES: an address that 16 divides.
template <bool e5m2, typename T>
__device__ inline uint4 CodesOf(const T* x, float inverse_scale) {
  float values[kFloat8Pack];
  LoadPack(x, values);
  uint32_t words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float* const four = values + 4 * i;
    words[i] = TwoCodes<e5m2>(four[0] * inverse_scale, four[1] * inverse_scale) |
               TwoCodes<e5m2>(four[2] * inverse_scale, four[3] * inverse_scale) << 16;
  }
  return {words[0], words[1], words[2], words[3]};
}

}  // namespace moat::tensor::cuda
