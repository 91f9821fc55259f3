// Temporary directories that say whose they are, so that leftovers can be told from work going on.
#include "data/build_directory.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <string>

#include "core/durable_file.h"
#include "core/error.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;

std::string HostName() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

void RemoveLeftovers(const fs::path& parent, const std::string& prefix) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parent, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix)) continue;
    const auto process = static_cast<pid_t>(std::atol(name.c_str() + prefix.size()));
    if (process > 0 && process != getpid() && kill(process, 0) != 0 && errno == ESRCH) {
      fs::remove_all(entry.path(), error);
    }
  }
}

}  // namespace

BuildDirectory::BuildDirectory(const fs::path& final_directory)
    : final_(fs::absolute(final_directory)) {
  if (!final_.has_filename()) final_ = final_.parent_path();  // "datasets/mine/"
  const fs::path parent = final_.parent_path();
  core::MakeDirectories(parent);
  const std::string prefix = "." + final_.filename().string() + ".importing-" + HostName() + "-";
  RemoveLeftovers(parent, prefix);
  path_ = parent / (prefix + std::to_string(getpid()));
  core::MakeDirectories(path_);
}

BuildDirectory::~BuildDirectory() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(path_, ignored);
}

void BuildDirectory::Commit() {
  core::SyncDirectory(path_);
  core::RenameDurably(path_, final_);
  committed_ = true;
}

}  // namespace moat::data
