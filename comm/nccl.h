// Collectives between the memory of CUDA devices, over NCCL.
//
// Control stays on the host: before anything is enqueued the ranks agree on the call over the group
// they were made from, so that a mix-up or a missing rank is found where it can be named. What is
// enqueued can then fail only through a device, the network or a peer's death, which
// Communicator::Finish() notices: it polls the stream and NCCL, and throws PeerError at the
// deadline, with the ranks that do not answer on the host within 5 s more. It aborts then what NCCL
// has under way, since nothing else would end it: of this group, of those made from it and of those
// it was made beside. An abort that hangs, as NCCL's can, ends the process after 5 s with exit code
// 76 and the reason in its log.
//
// In a build without NCCL (comm/no_nccl.cc) everything but NcclVersion throws ConfigError.
#pragma once

#include <memory>

#include "comm/communicator.h"

namespace moat::comm {

// Collective over `control`, whose ranks it takes over: each works on a device of its own. Host
// memory and barriers go through `control`. NCCL itself connects at the first collective on device
// memory, on that stream's device.
//
// `beside`: another group of this rank's whose work may be on the device together with this one's
// (null: none); not where it is over NCCL, too, and on another stream, which is refused as a bug
// (Communicator::alone_on_device).
//
// Order::kTree: NCCL adds in an order of its own, so sums of f32 over more than two ranks are made
// of its sends and receives and the device's additions (comm/tree_exchange.h), with 32 MiB of the
// device's memory. Such sums of f64 are refused with ConfigError. All else has no order to keep.
std::unique_ptr<Communicator> MakeNccl(std::unique_ptr<Communicator> control,
                                       const Communicator* beside = nullptr);

// 22809: NCCL 2.28.9; 0: this build has none.
int NcclVersion();

// A sum in a group of this process alone, on the stream's device, compared with what it must be:
// proves that library, driver and device go together. Throws what is wrong.
void CheckNccl(tensor::Stream& stream);

}  // namespace moat::comm
