// Tensor owns memory; View and ConstView lend it.
//
// Contiguous, row-major. A view is a pointer, a number of elements, a dtype and a device kind;
// shapes are arguments of ops.
#pragma once

#include <cstdint>
#include <memory>

#include "core/device_kind.h"
#include "core/dtype.h"
#include "core/error.h"
#include "core/units.h"

namespace moat::tensor {

struct ConstView {
  const void* data = nullptr;
  int64_t count = 0;  // elements
  core::DType dtype = core::DType::kF32;
  core::DeviceKind device = core::DeviceKind::kCpu;

  core::Bytes bytes() const { return core::Bytes(count * core::SizeOf(dtype)); }
  bool empty() const { return count == 0; }
  // Elements [begin, begin + n). REQUIRES: inside.
  ConstView Range(int64_t begin, int64_t n) const {
    MOAT_CHECK(begin >= 0 && n >= 0 && begin + n <= count, "range outside of a view");
    return {static_cast<const char*>(data) + begin * core::SizeOf(dtype), n, dtype, device};
  }
  // Host memory as T. REQUIRES: matching dtype, CPU memory.
  template <typename T>
  const T* as() const {
    MOAT_CHECK(core::DTypeOf<T>::value == dtype && device == core::DeviceKind::kCpu, "view type");
    return static_cast<const T*>(data);
  }
};

struct View {
  void* data = nullptr;
  int64_t count = 0;
  core::DType dtype = core::DType::kF32;
  core::DeviceKind device = core::DeviceKind::kCpu;

  operator ConstView() const { return {data, count, dtype, device}; }
  core::Bytes bytes() const { return core::Bytes(count * core::SizeOf(dtype)); }
  bool empty() const { return count == 0; }
  View Range(int64_t begin, int64_t n) const {
    MOAT_CHECK(begin >= 0 && n >= 0 && begin + n <= count, "range outside of a view");
    return {static_cast<char*>(data) + begin * core::SizeOf(dtype), n, dtype, device};
  }
  template <typename T>
  T* as() const {
    MOAT_CHECK(core::DTypeOf<T>::value == dtype && device == core::DeviceKind::kCpu, "view type");
    return static_cast<T*>(data);
  }
};

// A CPU view over memory that someone else owns.
template <typename T>
View HostView(T* data, int64_t count) {
  return {data, count, core::DTypeOf<T>::value, core::DeviceKind::kCpu};
}
template <typename T>
ConstView HostView(const T* data, int64_t count) {
  return {data, count, core::DTypeOf<T>::value, core::DeviceKind::kCpu};
}

// Owns zeroed, 64-byte aligned memory of one device: the CPU, or the calling thread's CUDA device
// (tensor/stream.h). Move-only. Throws OutOfMemoryError with the size asked for. Of a device's
// memory it must not be freed before the streams that use it are done.
class Tensor {
 public:
  Tensor() = default;
  Tensor(int64_t count, core::DType dtype, core::DeviceKind device = core::DeviceKind::kCpu);
  Tensor(Tensor&&) noexcept = default;
  Tensor& operator=(Tensor&&) noexcept = default;

  View view() { return {memory_.get(), count_, dtype_, device_}; }
  ConstView view() const { return {memory_.get(), count_, dtype_, device_}; }
  int64_t count() const { return count_; }
  core::DType dtype() const { return dtype_; }
  core::DeviceKind device() const { return device_; }
  core::Bytes bytes() const { return core::Bytes(count_ * core::SizeOf(dtype_)); }

 private:
  struct Free {
    core::DeviceKind device;
    void operator()(void* memory) const;
  };
  std::unique_ptr<void, Free> memory_;
  int64_t count_ = 0;
  core::DType dtype_ = core::DType::kF32;
  core::DeviceKind device_ = core::DeviceKind::kCpu;
};

}  // namespace moat::tensor
