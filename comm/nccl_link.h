// One rank's end of an NCCL communicator: connected under a deadline, watched, and aborted when it
// fails.
#pragma once

#include <nccl.h>

#include <functional>
#include <string>

#include "tensor/cuda/handle.h"

namespace moat::comm {

class NcclLink {
 public:
  // Repeats ready() until it is true; throws when the deadline passes, whatever else happens.
  using Waiter = std::function<void(const std::function<bool()>& ready)>;

  // Connects rank `rank` of `size`. All ranks do this with rank 0's id.
  NcclLink(const ncclUniqueId& id, int rank, int size, const Waiter& wait);

  ncclComm_t get() const { return comm_.get(); }
  // Takes what an NCCL call returned; waits while it is in progress. Throws what is wrong, after an
  // abort: the link is then of no more use.
  void Settle(ncclResult_t result, const char* what, const Waiter& wait);
  // Throws when something went wrong since.
  void CheckAlive();
  void Abort();

 private:
  [[noreturn]] void Fail(ncclResult_t result, const char* what);

  // ncclCommAbort is local, ncclCommDestroy may wait for peers: no collective in a destructor.
  tensor::cuda::Handle<ncclComm_t, ncclCommAbort> comm_;
};

// The id a group connects with.
ncclUniqueId MakeNcclId();

}  // namespace moat::comm
