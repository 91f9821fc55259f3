// A name by digest, and a lock that dies with its process.
#include "data/build_directory.h"

#include "core/durable_file.h"
#include "core/error.h"
#include "core/logging.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;

void RemoveLeftovers(const fs::path& parent, const std::string& prefix, const fs::path& ours) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parent, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix) || entry.path() == ours) continue;
    if (!DatasetLock::IsFree(entry.path())) continue;
    core::Log() << "removing what another import was killed at: " << entry.path().string();
    fs::remove_all(entry.path(), error);
  }
}

}  // namespace

BuildDirectory::BuildDirectory(const fs::path& final_directory, const std::string& digest)
    : final_(fs::absolute(final_directory)) {
  if (!final_.has_filename()) final_ = final_.parent_path();  // "datasets/mine/"
  const fs::path parent = final_.parent_path();
  core::MakeDirectories(parent);
  const std::string prefix = "." + final_.filename().string() + ".importing-";
  path_ = parent / (prefix + digest.substr(0, 16));
  RemoveLeftovers(parent, prefix, path_);
  core::MakeDirectories(path_);
  lock_ = std::make_unique<DatasetLock>(path_);
}

BuildDirectory::~BuildDirectory() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(path_, ignored);
}

void BuildDirectory::Clear() {
  for (const auto& entry : fs::directory_iterator(path_)) fs::remove_all(entry.path());
}

void BuildDirectory::Commit() {
  core::SyncDirectory(path_);
  core::RenameDurably(path_, final_);
  committed_ = true;
}

}  // namespace moat::data
