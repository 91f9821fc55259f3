// The file that one rank writes into a checkpoint. Internal to checkpoint/.
#pragma once

#include <filesystem>
#include <stop_token>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace moat::checkpoint {

// Writes and syncs `directory`/rank-NNNNN.safetensors, and returns what the manifest needs to know
// of it: a manifest of that one file, whose tensors are not whole. A rank without elements to save
// writes no file; its tensors are named all the same. Throws StorageError: also where a slice is no
// longer what its CRC was taken of, and soon after `give_up` is asked for.
Manifest WriteRankFile(const std::filesystem::path& directory, const RunPosition& position,
                       const std::vector<SliceToSave>& slices, int rank,
                       const std::stop_token& give_up = {});

}  // namespace moat::checkpoint
