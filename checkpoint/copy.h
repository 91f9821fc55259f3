// Copying a checkpoint, as safely as one is saved.
#pragma once

#include <filesystem>

namespace moat::checkpoint {

struct CopyReport {
  std::filesystem::path directory;  // the copy
  int64_t files = 0;                // the manifest aside
  int64_t bytes = 0;
};

// Copies the checkpoint `from` into the directory `to`, which is made where it is absent, under its
// own name. All bytes are checked on the way: throws DataError naming file and tensor where they
// are damaged. The copy has its name only once all of it is on the disk; what a kill leaves (a
// directory .tmp-copy-...) does not count as a checkpoint, and the next copy of it starts afresh.
// Throws ConfigError where the name is taken or another copy to it is under way; StorageError.
CopyReport Copy(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace moat::checkpoint
