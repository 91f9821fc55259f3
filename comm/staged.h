// Collectives between the memory of devices, through host memory and the group they are made from.
//
// For ranks that NCCL does not connect, as when several of them share one GPU. The host takes part:
// a collective waits for what its stream holds, exchanges piece by piece while the device copies
// the pieces before and after, and returns when the last copy to the device is enqueued.
#pragma once

#include <memory>

#include "comm/communicator.h"

namespace moat::comm {

// Memory of one of the two staging buffers of a group.
inline constexpr core::Bytes kStagingBytes{4 << 20};

// Takes the ranks of `control` over. Host memory and barriers go through `control`, as does every
// piece, so Order::kTree has the bits of `control`. Two buffers of `staging` bytes, which the
// device copies fast, are made at the first collective of device memory; bits never depend on their
// size. REQUIRES: 8 x size() <= staging.
std::unique_ptr<Communicator> MakeStaged(std::unique_ptr<Communicator> control,
                                         core::Bytes staging = kStagingBytes);

}  // namespace moat::comm
