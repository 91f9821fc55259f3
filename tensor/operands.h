// What the ops check of their operands, and pass on: shared by ops.cc and linear_ops.cc.
#pragma once

#include <string>

#include "core/error.h"
#include "tensor/device.h"
#include "tensor/kernel_table.h"
#include "tensor/stream.h"
#include "tensor/tensor.h"

namespace moat::tensor {

inline const KernelTable& Kernels(ConstView view, const Stream& stream) {
  MOAT_CHECK(view.device == stream.device(), "memory of another device than the stream's");
  return DeviceOf(view.device).kernels(view.dtype);
}

inline void Expect(ConstView view, int64_t count, core::DType dtype, const char* what) {
  MOAT_CHECK(view.count == count, std::string(what) + " has " + std::to_string(view.count) +
                                      " elements, expected " + std::to_string(count));
  MOAT_CHECK(view.dtype == dtype,
             std::string(what) + " is " + Name(view.dtype) + ", expected " + Name(dtype));
}

inline const float* Floats(ConstView view) { return static_cast<const float*>(view.data); }
inline float* Floats(View view) { return static_cast<float*>(view.data); }
inline const void* OrNull(ConstView view) { return view.empty() ? nullptr : view.data; }
inline void* OrNull(View view) { return view.empty() ? nullptr : view.data; }
inline const int32_t* Ints(ConstView view) { return static_cast<const int32_t*>(view.data); }

inline constexpr auto kF32 = core::DType::kF32;
inline constexpr auto kI32 = core::DType::kI32;

}  // namespace moat::tensor
