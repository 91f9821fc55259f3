// The temporary directory a data set is built in, beside its final place.
//
// Its name says what is being built, so that the same import finds what an earlier one left when it
// was killed, and goes on. Whoever builds holds its lock.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "data/dataset_lock.h"

namespace moat::data {

class BuildDirectory {
 public:
  // DIR's sibling ".<name>.importing-<start of digest>"; what is in it stays. Siblings of dead
  // imports with other digests are removed. DIR's parents are made. Throws StorageError, and
  // ConfigError while another process builds there.
  BuildDirectory(const std::filesystem::path& final_directory, const std::string& digest);
  ~BuildDirectory();  // removes it unless committed: only a kill leaves it for the next import
  BuildDirectory(const BuildDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void Clear();   // removes what is in it
  void Commit();  // syncs the directory and renames it durably

 private:
  std::filesystem::path final_, path_;
  std::unique_ptr<DatasetLock> lock_;
  bool committed_ = false;
};

}  // namespace moat::data
