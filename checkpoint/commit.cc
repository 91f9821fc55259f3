// Committing a save, and retention.
#include "checkpoint/commit.h"

#include "core/durable_file.h"
#include "core/fault.h"
#include "core/logging.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTemporary = ".tmp-";

std::string TemporaryPrefix(const std::string& run_id) {
  MOAT_CHECK(!run_id.empty() && run_id.find('/') == std::string::npos,
             "a run id is part of a directory's name");
  return kTemporary + run_id + "-";
}

// One manifest of all ranks' parts. Throws BugError unless the slices tile every tensor.
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

// Is the manifest sound, and has every file its size? What retention counts as good.
bool LooksGood(const fs::path& directory) {
  try {
    for (const auto& [name, entry] : ReadManifest(directory).files) {
      if (fs::file_size(directory / name) != static_cast<uintmax_t>(entry.bytes)) return false;
    }
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

fs::path TemporaryOf(const fs::path& root, const std::string& run_id, int64_t step) {
  return root / (TemporaryPrefix(run_id) + std::to_string(step));
}

void RemoveLeftovers(const fs::path& root, const std::string& run_id) {
  const std::string prefix = ListCheckpoints(root).empty() ? kTemporary : TemporaryPrefix(run_id);
  for (const fs::directory_entry& entry : fs::directory_iterator(root)) {
    if (entry.path().filename().string().compare(0, prefix.size(), prefix) == 0) {
      fs::remove_all(entry.path());
    }
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
  const fs::path target = root / FreeCheckpointName(root, position.step);
  core::RenameDurably(temporary, target);
  core::FaultPoint("checkpoint.after_rename");
  return target;
}

void Retain(const SaveOptions& options, const std::string& run_id) {
  try {
    std::vector<CheckpointDirectory> good;
    for (const CheckpointDirectory& found : ListCheckpoints(options.root)) {
      if (LooksGood(found.path)) good.push_back(found);
    }
    for (const CheckpointDirectory& old : ChooseRemovals(good, options.keep, options.protect)) {
      const fs::path doomed =
          options.root / (TemporaryPrefix(run_id) + "removed-" + old.path.filename().string());
      core::RenameDurably(old.path, doomed);
      core::FaultPoint("checkpoint.removing");
      fs::remove_all(doomed);
    }
  } catch (const std::exception& error) {
    core::Log(core::Log::kWarning) << "old checkpoints could not be removed: " << error.what();
  }
}

}  // namespace moat::checkpoint
