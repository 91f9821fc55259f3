// The line of a run: which of its checkpoints it goes on from, and which it turned its back on.
//
// A run that resumes from an older checkpoint (a roll-back, or newer ones that were damaged then)
// goes on from there. The newer ones stay where they are, but are of an abandoned line: the next
// attempt must not take one for its past because its step is higher. ckpt/abandoned.json names
// them; it is written before the first step of the new line.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/manifest/manifest.h"

namespace moat::checkpoint {

inline constexpr char kAbandonedName[] = "abandoned.json";

// Names of directories in `root`. Empty without a file; throws StorageError where it is damaged.
std::set<std::string> ReadAbandoned(const std::filesystem::path& root);

// The run resumes from `from`, whose ancestors are `lineage`: every other checkpoint that is there
// now becomes abandoned, but for those on the same line before it. Going back to an abandoned line
// makes that the run's own again. Writes only what changes. One process at a time.
void GoOnFrom(const std::filesystem::path& root, const std::string& from,
              const std::vector<std::string>& lineage);

// The same for a run that goes on from a copy of `step` on its nodes, whose ancestors are
// `lineage`: checkpoints of later steps become abandoned, and those of another line.
void GoOnFromStep(const std::filesystem::path& root, int64_t step,
                  const std::vector<std::string>& lineage);

// ListCheckpoints without the abandoned.
std::vector<CheckpointDirectory> ListLine(const std::filesystem::path& root);

// The checkpoint of `step`: the run's own, else the newest generation of an abandoned line.
std::optional<CheckpointDirectory> FindStep(const std::filesystem::path& root, int64_t step);

}  // namespace moat::checkpoint
