// Held by whoever changes a data set, so that two changes never overlap.
#pragma once

#include <filesystem>

namespace moat::data {

class DatasetLock {
 public:
  // Throws ConfigError when another process holds it; it lets go when it ends, however it ends.
  // Where the file system has no locks, nobody is kept out and a warning says so.
  explicit DatasetLock(const std::filesystem::path& directory);
  // Whether nobody holds the directory's lock, as far as the file system can tell.
  static bool IsFree(const std::filesystem::path& directory);
  ~DatasetLock();
  DatasetLock(const DatasetLock&) = delete;
  DatasetLock& operator=(const DatasetLock&) = delete;

 private:
  int fd_ = -1;
};

}  // namespace moat::data
