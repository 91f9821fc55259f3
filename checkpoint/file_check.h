// One file of a checkpoint, opened only if it is the file that the manifest means. Internal to
// checkpoint/.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/manifest/manifest.h"
#include "core/durable_file.h"

namespace moat::checkpoint {

// Checks size and header CRC. Throws DataError naming the file and, where the header can be read,
// the run, step and writer it belongs to; StorageError where the disk fails.
core::FileReader OpenChecked(const std::filesystem::path& directory, const std::string& name,
                             const FileEntry& entry);

// Reads the piece a stretch of at most 1 MiB at a time and compares its CRC at the end; `use`, if
// given, gets each stretch. Throws DataError naming tensor and file when the CRC is wrong or
// the file ends before the piece does; StorageError where the disk fails.
void CheckPiece(const core::FileReader& file, const std::string& tensor, const Piece& piece,
                const std::function<void(const char* data, int64_t bytes)>& use = nullptr);

// The piece's bytes. Throws DataError naming tensor and file when their CRC is wrong.
std::vector<char> ReadChecked(const core::FileReader& file, const std::string& tensor,
                              const Piece& piece);

}  // namespace moat::checkpoint
