// Which runs were trained on data that held a user: their weights saw it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/statistics.h"

namespace moat::programs {

struct UserRun {
  std::string run;
  std::vector<int> attempts;             // as capsule.json numbers them
  std::vector<std::string> checkpoints;  // those that are still there, newest first
  int version = 0;                       // of the data, that they read
  int64_t interactions = 0;              // that the user still has in that version
  // Interactions that the version has lost to forgetting since the attempts read it, at most,
  // whoever's.
  int64_t forgotten_since = 0;
};

// By run, then by attempt: the runs in `run_root` of which an attempt read, or a checkpoint was
// trained on, a version of the data in which the user has interactions, or that has forgotten
// somebody since. The content digests in capsules and in checkpoints' identities say which (of a
// mixture several, joined by commas). Not among them: runs on other data, and runs that only began
// with such a run's weights, whose checkpoints name those. No `run_root`: none. Throws DataError
// for a capsule or a manifest that cannot be read.
std::vector<UserRun> RunsThatReadUser(const std::filesystem::path& run_root,
                                      const data::UserStatistics& user);

std::string ToText(const std::vector<UserRun>& runs);
std::string ToJson(const std::vector<UserRun>& runs);  // a list

}  // namespace moat::programs
