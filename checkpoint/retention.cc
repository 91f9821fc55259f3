// Removing, rename first.
#include "checkpoint/retention.h"

#include "checkpoint/manifest/inventory.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/fault.h"

namespace moat::checkpoint {

namespace fs = std::filesystem;

std::vector<CheckpointDirectory> ListRemovals(const fs::path& root, const Retention& retention) {
  std::vector<CheckpointDirectory> good;
  for (const CheckpointDirectory& found : ListCheckpoints(root)) {
    if (Describe(found).complete()) good.push_back(found);
  }
  return ChooseRemovals(good, retention);
}

void Remove(const CheckpointDirectory& directory, const std::string& run_id) {
  const std::string name = directory.path.filename();
  const fs::path doomed =
      directory.path.parent_path() / (TemporaryPrefix(run_id) + "removed-" + name);
  core::RenameDurably(directory.path, doomed);
  core::FaultPoint("checkpoint.removing");
  std::error_code error;
  fs::remove_all(doomed, error);
  if (error) {
    throw core::StorageError("cannot remove " + doomed.string() + ": " + error.message());
  }
}

}  // namespace moat::checkpoint
