// Signals through signalfd.
#include "launch/signal_source.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include "core/error.h"

namespace moat::launch {

SignalSource::SignalSource() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP, SIGCHLD}) {
    sigaddset(&set, number);
  }
  sigprocmask(SIG_BLOCK, &set, &previous_);
  signal(SIGPIPE, SIG_IGN);
  fd_ = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  MOAT_CHECK(fd_ >= 0, "signalfd");
}

SignalSource::~SignalSource() {
  close(fd_);
  sigprocmask(SIG_SETMASK, &previous_, nullptr);
}

int SignalSource::Next() const {
  signalfd_siginfo info;
  return read(fd_, &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
}

}  // namespace moat::launch
