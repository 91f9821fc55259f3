// Signals to the supervisor, as a file descriptor that can be waited for.
#pragma once

#include <signal.h>

namespace moat::launch {

// Blocks TERM, INT, USR1, USR2, HUP and CHLD while it lives and puts the mask back at its end; a
// broken pipe (a closed terminal) ends nothing. Make it before other threads start.
class SignalSource {
 public:
  SignalSource();
  ~SignalSource();
  SignalSource(const SignalSource&) = delete;

  int fd() const { return fd_; }
  int Next() const;  // the next that is pending, 0: none is

 private:
  int fd_ = -1;
  sigset_t previous_;
};

}  // namespace moat::launch
