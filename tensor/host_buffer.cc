// Host memory beside a device.
#include "tensor/host_buffer.h"

namespace moat::tensor {

HostBuffer::HostBuffer(core::Bytes bytes, core::DeviceKind device)
    : bytes_(bytes), memory_(DeviceOf(device).allocate_host(bytes), Free{device}) {}

View HostBuffer::view(int64_t count, core::DType dtype) {
  MOAT_CHECK(count * core::SizeOf(dtype) <= bytes_.value, "a view beyond its buffer");
  return {memory_.get(), count, dtype, core::DeviceKind::kCpu};
}

}  // namespace moat::tensor
