// NCCL's errors and its way of being in progress.
#include "comm/nccl_link.h"

#include <unistd.h>

#include <chrono>
#include <future>
#include <thread>
#include <utility>

#include "core/error.h"
#include "core/logging.h"

namespace moat::comm {
namespace {

std::string TextOf(ncclResult_t result, const char* what, ncclComm_t comm) {
  std::string text = std::string("NCCL: ") + what + ": " + ncclGetErrorString(result);
  const char* const last = ncclGetLastError(comm);
  if (last != nullptr && *last != '\0') text += ": " + std::string(last);
  return text;
}

[[noreturn]] void Throw(ncclResult_t result, const std::string& text) {
  switch (result) {
    case ncclRemoteError:
      throw core::PeerError(text + "; look at the other ranks' logs for the first failure");
    case ncclUnhandledCudaError:
    case ncclSystemError:
      throw core::Error(core::ExitCode::kNode, text + "; NCCL_DEBUG=INFO says more");
    case ncclInvalidUsage:
      throw core::ConfigError(text +
                              "; each rank needs a device of its own: start fewer ranks per node");
    default:
      throw core::BugError(text);
  }
}

}  // namespace

ncclUniqueId MakeNcclId() {
  ncclUniqueId id;
  const ncclResult_t result = ncclGetUniqueId(&id);
  if (result != ncclSuccess) Throw(result, TextOf(result, "making an id", nullptr));
  return id;
}

NcclLink::NcclLink(const ncclUniqueId& id, int rank, int size, const Waiter& wait) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;  // so that a peer that does not come leaves us our thread
  try {
    Settle(ncclCommInitRankConfig(&comm_, size, id, rank, &config), "connecting", wait);
  } catch (const core::Error& error) {
    Abort(error.what());
    throw;
  }
}

// ncclCommAbort is local, ncclCommDestroy may wait for peers: no collective in a destructor.
NcclLink::~NcclLink() { Abort("the end of a group of NCCL"); }

void NcclLink::Settle(ncclResult_t result, const char* what, const Waiter& wait) {
  if (result == ncclInProgress) {
    wait([&] {
      if (ncclCommGetAsyncError(comm_, &result) != ncclSuccess) result = ncclInternalError;
      return result != ncclInProgress;
    });
  }
  if (result != ncclSuccess) Fail(result, what);
}

void NcclLink::CheckAlive() {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
  if (asked != ncclSuccess) Fail(asked, "asking for errors");
  if (state != ncclSuccess && state != ncclInProgress) Fail(state, "work that was given earlier");
}

void NcclLink::Abort(const std::string& why) {
  const ncclComm_t comm = std::exchange(comm_, nullptr);
  if (comm == nullptr) return;
  std::promise<void> aborted;
  std::future<void> done = aborted.get_future();
  std::thread thread([&aborted, comm] {
    ncclCommAbort(comm);
    aborted.set_value();
  });
  if (done.wait_for(std::chrono::seconds(kAbortSeconds)) == std::future_status::timeout) {
    core::Log(core::Log::kWarning) << why << "; NCCL's abort did not return within "
                                   << kAbortSeconds << " s, so this process ends at once";
    _exit(static_cast<int>(core::ExitCode::kPeer));
  }
  thread.join();
}

void NcclLink::Fail(ncclResult_t result, const char* what) {
  const std::string text = TextOf(result, what, comm_);
  Abort(text);
  Throw(result, text);
}

}  // namespace moat::comm
