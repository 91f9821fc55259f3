// Removing checkpoints: what a run does after each save, and `moat checkpoint prune` by hand.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/manifest/manifest.h"

namespace moat::checkpoint {

// What ChooseRemovals says of the checkpoints in `root` that have all their files, in full size.
// Damaged ones are neither counted nor chosen. Throws StorageError.
std::vector<CheckpointDirectory> ListRemovals(const std::filesystem::path& root,
                                              const Retention& retention);

// Removes one of `run_id`'s. It first takes a temporary name, so that a half-removed checkpoint
// does not exist; the run's next attempt removes what a kill leaves. Throws StorageError.
void Remove(const CheckpointDirectory& directory, const std::string& run_id);

}  // namespace moat::checkpoint
