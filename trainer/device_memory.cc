// What a device's driver says is taken.
#include "trainer/device_memory.h"

#include "tensor/device.h"

namespace moat::trainer {

DeviceMemory::DeviceMemory(core::DeviceKind device) : device_(device) {
  if (device_ != core::DeviceKind::kCpu) room_ = tensor::DeviceOf(device_).free_memory();
}

core::Bytes DeviceMemory::Peak() {
  if (room_.value == 0) return {};
  const core::Bytes taken(room_.value - tensor::DeviceOf(device_).free_memory().value);
  if (taken.value > peak_.value) peak_ = taken;
  return peak_;
}

}  // namespace moat::trainer
