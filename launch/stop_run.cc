// Asking a run to end, by a signal to its supervisor.
#include "launch/stop_run.h"

#include <poll.h>
#include <signal.h>

#include <cerrno>
#include <cstring>

#include "core/clock.h"
#include "core/error.h"
#include "core/host.h"
#include "launch/run_choice.h"
#include "rundir/lease.h"

namespace moat::launch {

std::string StopRun(const std::string& run_root, const std::string& name) {
  CheckRunExists(run_root, name);
  const auto holder = rundir::ReadLease(rundir::LayoutOf(run_root, name));
  if (!holder || !rundir::IsAlive(*holder, core::WallMicroseconds())) {
    throw core::ConfigError("run " + name + " is not running");
  }
  if (holder->host != core::HostName()) {
    throw core::ConfigError("run " + name + " is held by " + holder->text() +
                            "; run moat stop there");
  }
  if (kill(static_cast<pid_t>(holder->pid), SIGINT) != 0) {
    throw core::ConfigError("cannot signal " + holder->text() + ": " + std::strerror(errno));
  }
  return holder->text();
}

bool WaitUntilOver(const std::string& run_root, const std::string& name, double seconds) {
  constexpr int kLookMilliseconds = 50;
  const rundir::RunLayout layout = rundir::LayoutOf(run_root, name);
  const double deadline = core::MonotonicSeconds() + seconds;
  while (rundir::IsHeld(layout)) {
    if (core::MonotonicSeconds() > deadline) return false;
    poll(nullptr, 0, kLookMilliseconds);
  }
  return true;
}

}  // namespace moat::launch
