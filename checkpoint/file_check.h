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

// Reads a piece from its begin to its end, in stretches of any sizes, and checks it on the way.
class PieceCheck {
 public:
  // All three outlive this. Throws DataError naming tensor and file where the file ends before the
  // piece does.
  PieceCheck(const core::FileReader& file, const std::string& tensor, const Piece& piece);
  // The next bytes: in memory of its own until the next call, or in `to`. Both throw StorageError
  // where the disk fails.
  const char* Next(int64_t bytes);
  void ReadTo(int64_t bytes, char* to);
  // After the last: throws DataError naming tensor and file when the CRC is wrong.
  void Finish() const;

 private:
  std::string Subject() const;

  const core::FileReader& file_;
  const std::string& tensor_;
  const Piece& piece_;
  std::vector<char> stretch_;
  int64_t at_ = 0;
  uint32_t crc_ = 0;
};

// All of it, in stretches of at most 1 MiB that `use`, if given, gets. Throws as PieceCheck does.
void CheckPiece(const core::FileReader& file, const std::string& tensor, const Piece& piece,
                const std::function<void(const char* data, int64_t bytes)>& use = nullptr);

}  // namespace moat::checkpoint
