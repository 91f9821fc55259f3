// The environment of a supervised rank.
#include "rundir/attempt.h"

#include <cstdlib>
#include <string>

#include "core/error.h"

namespace moat::rundir {

std::optional<SupervisedAttempt> AttemptFromEnvironment() {
  const char* supervised = std::getenv(kSupervisedVariable);
  if (supervised == nullptr || std::string(supervised) != "1") return std::nullopt;
  const char* attempt = std::getenv(kAttemptVariable);
  const char* run_dir = std::getenv(kRunDirVariable);
  MOAT_CHECK(attempt != nullptr && run_dir != nullptr,
             "MOAT_SUPERVISED is set without MOAT_ATTEMPT and MOAT_RUN_DIR");
  return SupervisedAttempt{std::atoi(attempt), run_dir};
}

}  // namespace moat::rundir
