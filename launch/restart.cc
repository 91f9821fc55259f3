// Starting again.
#include "launch/restart.h"

#include "core/error.h"

namespace moat::launch {

AfterAttempt RestartPolicy::After(int exit_code, int64_t before, int64_t after,
                                  bool asked_to_stop) {
  const bool progress = after > before;
  without_progress_ = progress ? 0 : without_progress_ + 1;
  const bool lost_peer = exit_code == static_cast<int>(core::ExitCode::kPeer);
  const bool storage = exit_code == static_cast<int>(core::ExitCode::kStorage);
  if (asked_to_stop || !(lost_peer || (storage && progress)) || left_ == 0) {
    return AfterAttempt::kEnd;
  }
  if (without_progress_ >= kAttemptsWithoutProgress) return AfterAttempt::kGiveUp;
  --left_;
  return AfterAttempt::kStartAgain;
}

}  // namespace moat::launch
