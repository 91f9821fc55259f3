// lease.json.
#include "rundir/lease.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/clock.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/host.h"

namespace moat::rundir {
namespace {

// Serialises who looks at and changes lease.json.
class LeaseLock {
 public:
  explicit LeaseLock(const RunLayout& layout)
      : fd_(open((layout.root / ".lease.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    int result = fd_ < 0 ? -1 : 0;
    while (result == 0 && (result = flock(fd_, LOCK_EX)) != 0 && errno == EINTR) result = 0;
    if (result == 0) return;
    const int error = errno;
    if (fd_ >= 0) close(fd_);
    throw core::StorageError("cannot lock " + (layout.root / ".lease.lock").string() + ": " +
                             std::strerror(error));
  }
  ~LeaseLock() { close(fd_); }
  LeaseLock(const LeaseLock&) = delete;

 private:
  int fd_;
};

void Write(const RunLayout& layout, const LeaseHolder& holder) {
  const nlohmann::ordered_json json = {{"host", holder.host},
                                       {"boot", holder.boot},
                                       {"pid", holder.pid},
                                       {"process_start", holder.process_start},
                                       {"renewed_us", holder.renewed_us}};
  core::WriteFileAtomically(layout.lease(), json.dump() + "\n");
}

LeaseHolder Self() {
  return {core::HostName(), core::BootId(), getpid(), core::ProcessStart(getpid()),
          core::WallMicroseconds()};
}

}  // namespace

bool LeaseHolder::SameProcess(const LeaseHolder& other) const {
  return host == other.host && boot == other.boot && pid == other.pid &&
         process_start == other.process_start;
}

std::string LeaseHolder::text() const {
  return "process " + std::to_string(pid) + " on host " + host;
}

std::optional<LeaseHolder> ReadLease(const RunLayout& layout) {
  try {
    if (!std::filesystem::exists(layout.lease())) return std::nullopt;
    const auto json = nlohmann::json::parse(core::ReadWholeFile(layout.lease()));
    return LeaseHolder{json.at("host"), json.at("boot"), json.at("pid"), json.at("process_start"),
                       json.at("renewed_us")};
  } catch (const std::exception&) {
    return std::nullopt;  // it is only ever replaced whole, so this was not written by a holder
  }
}

bool IsAlive(const LeaseHolder& holder, int64_t now_us) {
  if (holder.host == core::HostName()) {
    return holder.boot == core::BootId() && holder.pid > 0 &&
           core::ProcessStart(static_cast<pid_t>(holder.pid)) == holder.process_start;
  }
  return static_cast<double>(now_us - holder.renewed_us) < kLeaseSeconds * 1e6;
}

bool IsHeld(const RunLayout& layout) {
  const std::optional<LeaseHolder> holder = ReadLease(layout);
  return holder && IsAlive(*holder, core::WallMicroseconds());
}

Lease::Lease(const RunLayout& layout) : layout_(layout), self_(Self()) {
  const LeaseLock lock(layout_);
  if (const auto holder = ReadLease(layout_)) {
    if (IsAlive(*holder, self_.renewed_us)) {
      throw core::ConfigError(layout_.root.string() + " is in use by " + holder->text() +
                              ", which renewed its lease at " +
                              core::FormatUtc(holder->renewed_us) + "; stop it (moat stop " +
                              layout_.root.filename().string() + ") or choose another --run");
    }
    note_ = "took over the lease of " + holder->text() + ", which is gone";
  }
  Write(layout_, self_);
}

Lease::~Lease() {
  try {
    const LeaseLock lock(layout_);
    const auto holder = ReadLease(layout_);
    if (holder && holder->SameProcess(self_)) std::filesystem::remove(layout_.lease());
  } catch (const std::exception&) {
    // Whoever comes next finds that this process is gone.
  }
}

void Lease::Renew() {
  const LeaseLock lock(layout_);
  const auto holder = ReadLease(layout_);
  if (holder && !holder->SameProcess(self_)) {
    throw core::ConfigError(layout_.root.string() + " was taken over by " + holder->text());
  }
  self_.renewed_us = core::WallMicroseconds();
  Write(layout_, self_);
}

}  // namespace moat::rundir
