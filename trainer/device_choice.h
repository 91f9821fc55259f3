// The device a rank trains on, decided by all ranks together, and what its groups are made of.
#pragma once

#include <string>
#include <vector>

#include "comm/grid.h"
#include "core/device_kind.h"
#include "tensor/stream.h"

namespace moat::trainer {

struct DeviceChoice {
  core::DeviceKind kind = core::DeviceKind::kCpu;
  int index = 0;             // of the devices that this process sees
  std::string name;          // as the device calls itself; "" on CPUs
  bool shared = false;       // some ranks of a node work on one device
  std::vector<int> ranks;    // of the world, that work on this one; empty on CPUs
  std::string text() const;  // "cpu", "cuda (NVIDIA H100, one a rank)": for people
};

// The devices of the kind that this process sees.
std::vector<tensor::DeviceDescription> DevicesHere(core::DeviceKind kind);

// Collective. `asked`: cpu; cuda: every rank works on a CUDA device; auto: that where every rank
// sees one, else the CPU, with a warning where only some do. Rank `local_rank` of its node takes
// device local_rank mod the devices it sees (a scheduler may show each rank its own only). Throws
// ConfigError on all ranks, naming those that see none, where cuda was asked for.
DeviceChoice ChooseDevice(const std::string& asked,
                          const std::vector<tensor::DeviceDescription>& here, int local_rank,
                          comm::Communicator& world);

// The stream that a rank works on; on the CPU it has `threads`.
tensor::Stream MakeStream(const DeviceChoice& device, int threads);

// Collective. Groups for host memory become groups for the device's as well: over NCCL where each
// rank has a device of its own and this build has NCCL, else through the host. Returns which, for
// people; "" on CPUs and for a single rank.
std::string MoveToDevice(const DeviceChoice& device, comm::GridCommunicators* groups);

}  // namespace moat::trainer
