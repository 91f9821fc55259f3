// The emulator's <cuda_bf16.h>: as much of bf16 as our kernels use, in plain code.
#pragma once

#include <cuda_runtime.h>

#include "core/dtype.h"

// NOLINTBEGIN(bugprone-reserved-identifier): the names are CUDA's

struct __nv_bfloat16 {
  unsigned short x;
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};

inline float __bfloat162float(__nv_bfloat16 a) { return __uint_as_float(unsigned{a.x} << 16); }
inline __nv_bfloat16 __float2bfloat16_rn(float a) { return {moat::core::BFloat16(a).bits}; }
inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b) {
  return {__float2bfloat16_rn(a), __float2bfloat16_rn(b)};
}

// NOLINTEND(bugprone-reserved-identifier)
