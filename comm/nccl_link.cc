// NCCL's errors and its way of being in progress.
#include "comm/nccl_link.h"

#include <unistd.h>

#include <chrono>
#include <future>
#include <thread>
#include <utility>

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

void NcclLinks::CheckAlive() {
  const std::lock_guard lock(mutex_);
  for (NcclLink* const link : links_) link->CheckAlive();
}

void NcclLinks::Abort(const std::string& why, const std::optional<core::FailedRank>& failed) {
  const std::lock_guard lock(mutex_);
  for (NcclLink* const link : links_) link->Abort(why, failed);
}

void NcclLinks::WorksOn(const NcclLink& link, const tensor::Stream& stream) {
  const std::lock_guard lock(mutex_);
  for (const auto& [other, queue] : at_work_) {
    MOAT_CHECK(other == &link || queue == stream.queue(),
               "two groups of NCCL at work on two streams may wait for each other for ever");
  }
  at_work_[&link] = stream.queue();
}

void NcclLinks::IsDone(const tensor::Stream& stream) {
  const std::lock_guard lock(mutex_);
  std::erase_if(at_work_, [&](const auto& work) { return work.second == stream.queue(); });
}

NcclLink::NcclLink(const std::string& group, const ncclUniqueId& id, int rank, int size,
                   const Waiter& wait, std::shared_ptr<NcclLinks> links)
    : group_(group), links_(std::move(links)) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;  // so that a peer that does not come leaves us our thread
  try {
    ncclResult_t result = ncclSuccess;
    {
      const std::lock_guard lock(mutex_);
      result = ncclCommInitRankConfig(&comm_, size, id, rank, &config);
    }
    Settle(result, "connecting", wait);
  } catch (const core::Error& error) {
    Abort(error.what());
    throw;
  }
  const std::lock_guard lock(links_->mutex_);
  links_->links_.insert(this);
}

// ncclCommAbort is local, ncclCommDestroy may wait for peers: no collective in a destructor.
NcclLink::~NcclLink() {
  {
    const std::lock_guard lock(links_->mutex_);
    links_->links_.erase(this);
    links_->at_work_.erase(this);
  }
  Abort("the end of a group of NCCL");
}

// body(comm), unless it was aborted.
template <typename Body>
ncclResult_t NcclLink::Use(const Body& body) {
  const std::lock_guard lock(mutex_);
  if (comm_ != nullptr) return body(comm_);
  throw core::PeerError(
      "group '" + group_ + "' cannot be used any more: its NCCL communicator was aborted: " + why_,
      failed_);
}

void NcclLink::CheckUsable() {
  Use([](ncclComm_t) { return ncclSuccess; });
}

void NcclLink::Call(const char* what, const Waiter& wait, const Operation& operation) {
  Settle(Use(operation), what, wait);
}

void NcclLink::Settle(ncclResult_t result, const char* what, const Waiter& wait) {
  if (result == ncclInProgress) {
    wait([&] {
      const ncclResult_t asked =
          Use([&](ncclComm_t comm) { return ncclCommGetAsyncError(comm, &result); });
      if (asked != ncclSuccess) result = ncclInternalError;
      return result != ncclInProgress;
    });
  }
  if (result != ncclSuccess) Fail(result, what);
}

void NcclLink::CheckAlive() {
  const std::string what = "work of group '" + group_ + "' that was given earlier";
  std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock) return;  // in a call of NCCL, which may be what is stuck
  ncclResult_t state = ncclInvalidArgument, asked = ncclSuccess;
  if (comm_ != nullptr) asked = ncclCommGetAsyncError(comm_, &state);
  lock.unlock();
  CheckUsable();
  if (asked != ncclSuccess) Fail(asked, "asking for errors");
  if (state != ncclSuccess && state != ncclInProgress) Fail(state, what.c_str());
}

// In a thread of its own: whoever holds the mutex is in a call of NCCL, which may be stuck.
void NcclLink::Abort(const std::string& why, const std::optional<core::FailedRank>& failed) {
  std::promise<void> aborted;
  std::future<void> done = aborted.get_future();
  std::thread thread([&] {
    const std::lock_guard lock(mutex_);
    const ncclComm_t comm = std::exchange(comm_, nullptr);
    if (comm != nullptr) {
      why_ = why;
      failed_ = failed;
      ncclCommAbort(comm);
    }
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
  std::string text;
  {
    const std::lock_guard lock(mutex_);
    text = TextOf(result, what, comm_);
  }
  Abort(text);
  Throw(result, text);
}

}  // namespace moat::comm
