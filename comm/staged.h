// Collectives between the memory of devices, through the host: the way for ranks that share a
// device, and for machines without NCCL.
//
// A device's buffer is copied to the host, goes through the group that this one is made from, and
// is copied back; every call waits for the device. Order and bits are that group's.
#pragma once

#include <memory>

#include "comm/communicator.h"

namespace moat::comm {

// Takes over `control`, a group for host memory, which also has the barriers. Not collective.
std::unique_ptr<Communicator> MakeStaged(std::unique_ptr<Communicator> control);

}  // namespace moat::comm
