// Committing a save, and retention.
#include "checkpoint/commit.h"

#include "checkpoint/retention.h"
#include "core/durable_file.h"
#include "core/fault.h"
#include "core/logging.h"

namespace moat::checkpoint {
namespace fs = std::filesystem;

Manifest Merge(const RunPosition& position, const std::vector<std::string>& reports) {
  Manifest whole;
  whole.position = position;
  for (const std::string& report : reports) {
    const Manifest part = Manifest::Parse(report, "a rank's report");
    whole.files.insert(part.files.begin(), part.files.end());
    for (const auto& [name, tensor] : part.tensors) {
      TensorEntry& entry =
          whole.tensors.try_emplace(name, TensorEntry{tensor.dtype, tensor.shape, {}})
              .first->second;
      MOAT_CHECK(entry.dtype == tensor.dtype && entry.shape == tensor.shape,
                 "ranks must agree about shape and dtype of " + name);
      entry.pieces.insert(entry.pieces.end(), tensor.pieces.begin(), tensor.pieces.end());
    }
  }
  try {
    whole.Validate("slices to save");
  } catch (const core::DataError& error) {
    throw core::BugError(std::string(error.what()) +
                         "; this is a defect in moat, please report it");
  }
  return whole;
}

fs::path TemporaryOf(const fs::path& root, const std::string& run_id, int64_t step) {
  return root / (TemporaryPrefix(run_id) + std::to_string(step));
}

void RemoveLeftovers(const fs::path& root, const std::string& run_id) {
  const std::string prefix =
      ListCheckpoints(root).empty() ? kTemporaryPrefix : TemporaryPrefix(run_id);
  for (const fs::directory_entry& entry : fs::directory_iterator(root)) {
    const std::string name = entry.path().filename();
    if (name.starts_with(prefix) && !name.starts_with(kCopyPrefix)) fs::remove_all(entry.path());
  }
}

fs::path Commit(const fs::path& root, const RunPosition& position, const fs::path& temporary,
                const std::vector<std::string>& reports) {
  const Manifest manifest = Merge(position, reports);
  core::FaultPoint("checkpoint.before_manifest");
  core::FileWriter writer(temporary / kManifestName);
  writer.Write(manifest.ToText());
  writer.SyncAndClose();
  core::SyncDirectory(temporary);
  core::FaultPoint("checkpoint.before_rename");
  fs::path target = root / FreeCheckpointName(root, position.step);
  try {
    core::RenameDurably(temporary, target);
  } catch (...) {  // what is not known to last is not committed
    std::error_code ignored;
    fs::rename(target, temporary, ignored);
    throw;
  }
  core::FaultPoint("checkpoint.after_rename");
  return target;
}

void Retain(const SaveOptions& options, const std::string& run_id) {
  try {
    const Retention retention{options.keep, options.protect, options.keep_every};
    for (const CheckpointDirectory& old : ListRemovals(options.root, retention)) {
      Remove(old, run_id);
    }
  } catch (const std::exception& error) {
    core::Log(core::Log::kWarning) << "old checkpoints could not be removed: " << error.what();
  }
}

}  // namespace moat::checkpoint
