// One rank's end of an NCCL communicator: connected under a deadline, watched, and aborted when it
// fails.
#pragma once

#include <nccl.h>

#include <functional>
#include <string>

namespace moat::comm {

class NcclLink {
 public:
  // Repeats ready() until it is true; throws when the deadline passes, whatever else happens.
  using Waiter = std::function<void(const std::function<bool()>& ready)>;

  // Connects rank `rank` of `size`. All ranks do this with rank 0's id. When it throws, the abort
  // has been done.
  NcclLink(const ncclUniqueId& id, int rank, int size, const Waiter& wait);
  ~NcclLink();
  NcclLink(const NcclLink&) = delete;

  ncclComm_t get() const { return comm_; }
  // Takes what an NCCL call returned; waits while it is in progress. Throws what is wrong, after an
  // abort: the link is then of no more use.
  void Settle(ncclResult_t result, const char* what, const Waiter& wait);
  // Throws when something went wrong since.
  void CheckAlive();
  // Leaves the communicator, without waiting for peers. `why` is what went wrong: an abort that has
  // not returned after kAbortSeconds, as happens when the device or the network is stuck, ends the
  // process with exit code 76 after `why` was logged.
  void Abort(const std::string& why);

  static constexpr int kAbortSeconds = 5;

 private:
  [[noreturn]] void Fail(ncclResult_t result, const char* what);

  ncclComm_t comm_ = nullptr;
};

// The id a group connects with.
ncclUniqueId MakeNcclId();

}  // namespace moat::comm
