// What rank 0 does around a save: clear up, commit, keep as many as were asked for. Internal to
// checkpoint/; nothing here is collective.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace moat::checkpoint {

// Where a save of `step` writes until it is committed.
std::filesystem::path TemporaryOf(const std::filesystem::path& root, const std::string& run_id,
                                  int64_t step);

// Removes whatever saves of the run that were cut short left behind; where nothing is committed
// yet, also those of earlier beginnings, under other run ids. REQUIRES: the run is not being saved
// elsewhere (its lease says so).
void RemoveLeftovers(const std::filesystem::path& root, const std::string& run_id);

// One manifest of all ranks' parts, `reports`, each as text. Throws BugError unless the slices tile
// every tensor.
Manifest Merge(const RunPosition& position, const std::vector<std::string>& reports);

// Commits what the ranks wrote into `temporary`: the point of no return is the rename. `reports`
// are their WriteRankFile's, as text. Returns the committed directory. Throws BugError unless the
// slices tile every tensor, and StorageError; `temporary` is then left to the caller.
std::filesystem::path Commit(const std::filesystem::path& root, const RunPosition& position,
                             const std::filesystem::path& temporary,
                             const std::vector<std::string>& reports);

// Removes old checkpoints: checkpoint/retention.h. A failure is a warning: the new one is
// committed.
void Retain(const SaveOptions& options, const std::string& run_id);

}  // namespace moat::checkpoint
