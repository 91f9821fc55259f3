// The emulator's <cuda_fp8.h>: as much of FP8 as our kernels use, in plain code.
#pragma once

#include <cuda_runtime.h>

#include "core/float8.h"

// NOLINTBEGIN(bugprone-reserved-identifier): the names are CUDA's

enum __nv_saturation_t { __NV_NOSAT, __NV_SATFINITE };
enum __nv_fp8_interpretation_t { __NV_E4M3, __NV_E5M2 };

inline unsigned short __nv_cvt_float2_to_fp8x2(float2 x, __nv_saturation_t,
                                               __nv_fp8_interpretation_t kind) {
  const auto& format = kind == __NV_E4M3 ? moat::core::kE4M3Format : moat::core::kE5M2Format;
  const unsigned first = moat::core::EncodeFloat8(x.x, format);
  const unsigned second = moat::core::EncodeFloat8(x.y, format);
  return static_cast<unsigned short>(first | second << 8);
}

// NOLINTEND(bugprone-reserved-identifier)
