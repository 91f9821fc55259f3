// Which runs were trained on data that held a user: their weights saw it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/statistics.h"

namespace moat::programs {

struct UserRun {
  std::string run;
  std::vector<int> attempts;  // as capsule.json numbers them
  int version = 0;            // of the data, that they read
  int64_t interactions = 0;   // that the user still has in that version
  // Interactions that the version has lost to forgetting since the attempts read it, at most,
  // whoever's.
  int64_t forgotten_since = 0;
};

// By run, then by attempt: the runs in `run_root` whose attempts read a version of the data in
// which the user has interactions, or that has forgotten somebody since. What an attempt read is
// what its capsule's content digest says; a run on other data, or without a capsule, is not among
// them, nor is one that began with such a run's weights (its checkpoints name those). No
// `run_root`: none. A capsule that cannot be read is a DataError.
std::vector<UserRun> RunsThatReadUser(const std::filesystem::path& run_root,
                                      const data::UserStatistics& user);

std::string ToText(const std::vector<UserRun>& runs);
std::string ToJson(const std::vector<UserRun>& runs);  // a list

}  // namespace moat::programs
