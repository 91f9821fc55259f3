// HostBuffer owns host memory that a kind of device copies from and to at its best (for CUDA,
// pinned memory): what stands between device memory and the network or disk.
#pragma once

#include <memory>

#include "tensor/device.h"
#include "tensor/tensor.h"

namespace moat::tensor {

// Aligned to 64 bytes at least; holds anything at first. Move-only. Throws OutOfMemoryError with
// the size asked for. It must not go while copies from or to it are under way.
class HostBuffer {
 public:
  HostBuffer(core::Bytes bytes, core::DeviceKind device);

  // The buffer's first `count` elements. REQUIRES: they fit.
  View view(int64_t count, core::DType dtype);

 private:
  struct Free {
    core::DeviceKind device;
    void operator()(void* memory) const { DeviceOf(device).free_host(memory); }
  };
  core::Bytes bytes_;
  std::unique_ptr<void, Free> memory_;
};

}  // namespace moat::tensor
