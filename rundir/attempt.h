// How the supervisor tells a rank which attempt of which run it is: names of environment variables,
// written by launch/render.cc and read by the ranks.
#pragma once

#include <filesystem>
#include <optional>

namespace moat::rundir {

inline constexpr char kAttemptVariable[] = "MOAT_ATTEMPT";        // 0 for a run's first attempt
inline constexpr char kSupervisedVariable[] = "MOAT_SUPERVISED";  // "1"
inline constexpr char kRunDirVariable[] = "MOAT_RUN_DIR";
// Where the supervisor waits for the watchers of other nodes (launch/node_protocol.h), with a
// secret; empty or missing: nobody waits.
inline constexpr char kNodeWatchVariable[] = "MOAT_NODE_WATCH";

struct SupervisedAttempt {
  int attempt = 0;
  std::filesystem::path run_dir;
};

// nullopt when no supervisor started this process: then rank 0 takes the lease and writes
// outcome.json itself. Throws BugError when the variables contradict each other.
std::optional<SupervisedAttempt> AttemptFromEnvironment();

}  // namespace moat::rundir
