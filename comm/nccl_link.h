// One rank's end of an NCCL communicator: connected under a deadline, watched, and aborted when it
// fails; and all of a rank's, which stand and fall together.
#pragma once

#include <nccl.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "core/error.h"
#include "tensor/stream.h"

namespace moat::comm {

class NcclLink;

// The links of a rank's groups whose work may wait on the device for one another's: in one stream,
// or over events. Whoever waits for the device watches all of them, and where one fails none is
// waited for any more. From any thread.
class NcclLinks {
 public:
  // Throws when something went wrong with any since.
  void CheckAlive();
  // Aborts all: NcclLink::Abort.
  void Abort(const std::string& why, const std::optional<core::FailedRank>& failed = std::nullopt);

  // Work of `link` is about to be given to the stream. Throws BugError while another link's may be
  // at work on another stream: NCCL's kernels wait for their peers on the device, so those of two
  // links may hold each other up for ever, where ranks start them in different orders.
  void WorksOn(const NcclLink& link, const tensor::Stream& stream);
  void IsDone(const tensor::Stream& stream);  // all work of a stream

 private:
  friend class NcclLink;
  std::mutex mutex_;
  std::set<NcclLink*> links_;
  std::map<const NcclLink*, const tensor::DeviceStream*> at_work_;
};

class NcclLink {
 public:
  // Repeats ready() until it is true; throws when the deadline passes, whatever else happens.
  using Waiter = std::function<void(const std::function<bool()>& ready)>;
  using Operation = std::function<ncclResult_t(ncclComm_t)>;

  // Connects rank `rank` of `size` of a group. All ranks do this with rank 0's id. When it throws,
  // the abort has been done.
  NcclLink(const std::string& group, const ncclUniqueId& id, int rank, int size, const Waiter& wait,
           std::shared_ptr<NcclLinks> links = std::make_shared<NcclLinks>());
  ~NcclLink();
  NcclLink(const NcclLink&) = delete;

  // Throws PeerError once the link was aborted, with the reason.
  void CheckUsable();
  // Makes an NCCL call, and waits while it is in progress. Throws what is wrong, after an abort:
  // the link is then of no more use.
  void Call(const char* what, const Waiter& wait, const Operation& operation);
  // Throws when something went wrong since.
  void CheckAlive();
  // Leaves the communicator, without waiting for peers; from any thread. `why` is what went wrong:
  // an abort that has not returned after kAbortSeconds, as happens when the device or the network
  // is stuck, ends the process with exit code 76 after `why` was logged.
  void Abort(const std::string& why, const std::optional<core::FailedRank>& failed = std::nullopt);

  static constexpr int kAbortSeconds = 5;

 private:
  template <typename Body>
  ncclResult_t Use(const Body& body);
  void Settle(ncclResult_t result, const char* what, const Waiter& wait);
  [[noreturn]] void Fail(ncclResult_t result, const char* what);

  std::string group_;
  std::shared_ptr<NcclLinks> links_;
  std::mutex mutex_;  // what follows; held while NCCL is called
  ncclComm_t comm_ = nullptr;
  std::string why_;  // it was aborted
  std::optional<core::FailedRank> failed_;
};

// The id a group connects with.
ncclUniqueId MakeNcclId();

}  // namespace moat::comm
