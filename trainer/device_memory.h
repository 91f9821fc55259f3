// Do the ranks' plans fit into their devices, and how much of its device's memory does a run take?
#pragma once

#include <string>
#include <vector>

#include "comm/communicator.h"
#include "configs/model_config.h"
#include "core/device_kind.h"
#include "core/units.h"
#include "model/architecture/memory_plan.h"

namespace moat::trainer {

// The device that a rank's plan has to fit into.
struct DeviceRoom {
  std::string name;        // as it calls itself
  std::vector<int> ranks;  // of the world, that work on it; empty: this one alone
  core::Bytes free;        // as this rank sees it, before it has allocated anything of its plan
};

// Collective over the world, before any rank allocates what it plans. Throws OutOfMemoryError, on
// all ranks alike, when what some rank's `plan` puts on its device (all but the snapshot, which is
// the host's) is more than its part of what is free there, which the ranks of a device share
// equally: names the first such rank, its device, the parts, and the flags that save, the one that
// saves most first.
void CheckFits(const configs::ModelConfig& model, const model::MemoryOptions& plan,
               const DeviceRoom& room, comm::Communicator& world);

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
