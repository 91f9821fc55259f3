// The file that one rank writes into a checkpoint. Internal to checkpoint/.
#pragma once

#include <filesystem>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace moat::checkpoint {

// Writes and syncs `directory`/rank-NNNNN.safetensors, and returns what the manifest needs to know
// of it: a manifest of that one file, whose tensors are not whole. A rank without elements to save
// writes no file; its tensors are named all the same. Throws StorageError.
Manifest WriteRankFile(const std::filesystem::path& directory, const RunPosition& position,
                       const std::vector<SliceToSave>& slices, int rank);

}  // namespace moat::checkpoint
