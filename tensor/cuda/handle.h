// RAII for the handles of CUDA, and its errors as ours.
#pragma once

#include <cuda_runtime.h>

#include <utility>

namespace moat::tensor::cuda {

// Owns one handle; Destroy(handle) frees it. Move-only.
template <typename T, auto Destroy>
class Handle {
 public:
  Handle() = default;
  explicit Handle(T value) : value_(value) {}
  ~Handle() { Reset(); }
  Handle(Handle&& other) noexcept : value_(std::exchange(other.value_, T{})) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      Reset();
      value_ = std::exchange(other.value_, T{});
    }
    return *this;
  }
  T get() const { return value_; }
  T Release() { return std::exchange(value_, T{}); }
  T* out() {  // for functions that make one
    Reset();
    return &value_;
  }

 private:
  void Reset() {
    if (value_ != T{}) static_cast<void>(Destroy(value_));
    value_ = T{};
  }
  T value_{};
};

using StreamHandle = Handle<cudaStream_t, cudaStreamDestroy>;
using EventHandle = Handle<cudaEvent_t, cudaEventDestroy>;
using MemoryHandle = Handle<void*, cudaFree>;

// Throws unless it is success: OutOfMemoryError for memory, ConfigError for a missing driver or
// device, exit code 69 for a device that is broken or taken, else BugError. `what` is the call.
void Check(cudaError_t error, const char* what);

}  // namespace moat::tensor::cuda
