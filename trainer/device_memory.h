// How much of its device's memory a run takes.
#pragma once

#include "core/device_kind.h"
#include "core/units.h"

namespace moat::trainer {

// How much of a device is taken since this was made, as the driver says: by this process with what
// the libraries keep there, and by others that share the device. Nothing on a CPU, whose `room` is
// 0.
class DeviceMemory {
 public:
  explicit DeviceMemory(core::DeviceKind device);

  core::Bytes room() const { return room_; }  // that was free then
  // The most that was taken whenever this was asked, now included.
  core::Bytes Peak();

 private:
  core::DeviceKind device_;
  core::Bytes room_, peak_;
};

}  // namespace moat::trainer
