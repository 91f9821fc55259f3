// Whether a run whose attempt has ended is started again by itself. Pure.
#pragma once

#include <cstdint>

namespace moat::launch {

// Attempts in a row that may end without a newer checkpoint than there was.
inline constexpr int kAttemptsWithoutProgress = 3;

enum class AfterAttempt {
  kEnd,         // the attempt's end is the run's
  kStartAgain,  // from the newest checkpoint
  kGiveUp,      // it ends the same way again and again: 93
};

// Counts the attempts of one launch.
class RestartPolicy {
 public:
  explicit RestartPolicy(int restarts) : left_(restarts) {}

  // The attempt ended with `exit_code`; `before` and `after` are the newest checkpoint's step when
  // it began and when it ended, -1: none. `asked_to_stop`: somebody wanted it to end.
  // A lost or hung peer (76) is tried again; failed storage (74) too, but only after progress: a
  // disk that is full stays full. Everything else ends the run: it would end the same way again, or
  // somebody else decides.
  AfterAttempt After(int exit_code, int64_t before, int64_t after, bool asked_to_stop);

 private:
  int left_;
  int without_progress_ = 0;
};

}  // namespace moat::launch
