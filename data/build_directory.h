// The temporary directory a data set is built in, beside its final place.
#pragma once

#include <filesystem>

namespace moat::data {

class BuildDirectory {
 public:
  // Makes DIR's sibling ".<name>.importing-<host>-<process>", after removing those that dead
  // processes of this host left. DIR's parents are made. Throws StorageError.
  explicit BuildDirectory(const std::filesystem::path& final_directory);
  ~BuildDirectory();  // removes it unless committed
  BuildDirectory(const BuildDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void Commit();  // syncs the directory and renames it durably

 private:
  std::filesystem::path final_, path_;
  bool committed_ = false;
};

}  // namespace moat::data
