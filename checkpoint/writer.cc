// Saving: every rank writes its file, all agree, rank 0 commits.
#include <algorithm>

#include "checkpoint/checkpoint.h"
#include "checkpoint/rank_file.h"
#include "core/durable_file.h"
#include "core/fault.h"
#include "core/logging.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;

std::string TemporaryPrefix(const std::string& run_id) { return ".tmp-" + run_id + "-"; }

// How one rank fared, as text that travels: an exit code, then a report or a message.
struct Outcome {
  core::ExitCode code = core::ExitCode::kOk;
  std::string text;

  // Runs `body`, which returns the report; what it throws becomes the outcome.
  template <typename Body>
  static Outcome Of(const Body& body) {
    try {
      return {core::ExitCode::kOk, body()};
    } catch (const core::BugError& error) {
      return {core::ExitCode::kBug, error.what()};
    } catch (const std::exception& error) {
      return {core::ExitCode::kStorage, error.what()};
    }
  }
  std::string ToText() const { return std::to_string(static_cast<int>(code)) + " " + text; }
  static Outcome FromText(const std::string& text) {
    const size_t space = text.find(' ');
    return {static_cast<core::ExitCode>(std::stoi(text)), text.substr(space + 1)};
  }
  bool ok() const { return code == core::ExitCode::kOk; }
  [[noreturn]] void Throw() const {
    if (code == core::ExitCode::kBug) throw core::BugError(text);
    throw core::StorageError(text);
  }
};

// Whatever a save that was cut short left behind. REQUIRES: the run is not being saved elsewhere
// (its lease says so).
void RemoveLeftovers(const fs::path& root, const std::string& run_id) {
  const std::string prefix = TemporaryPrefix(run_id);
  for (const fs::directory_entry& entry : fs::directory_iterator(root)) {
    if (entry.path().filename().string().compare(0, prefix.size(), prefix) == 0) {
      fs::remove_all(entry.path());
    }
  }
}

// Rank 0's outcome of a step that it alone takes, on all ranks: what `body` returns, or its error.
template <typename Body>
std::string OnRankZero(comm::Communicator& world, const Body& body) {
  const Outcome mine = world.rank() == 0 ? Outcome::Of(body) : Outcome{};
  const Outcome outcome = Outcome::FromText(world.BroadcastText(mine.ToText(), 0));
  if (!outcome.ok()) outcome.Throw();
  return outcome.text;
}

std::string Discard(const fs::path& temporary) {
  std::error_code ignored;  // the next save tries again
  fs::remove_all(temporary, ignored);
  return "";
}

template <typename Body>
std::string OrDiscard(const fs::path& temporary, const Body& body) {
  try {
    return body();
  } catch (...) {
    Discard(temporary);
    throw;
  }
}

// Rank 0: makes the temporary directory.
std::string Prepare(const SaveOptions& options, const RunPosition& position,
                    const fs::path& temporary) {
  MOAT_CHECK(!position.run_id.empty() && position.run_id.find('/') == std::string::npos,
             "a run id is part of a directory's name");
  if (!fs::is_directory(options.root)) {
    core::MakeDirectories(options.root);
    core::SyncDirectory(fs::absolute(options.root).parent_path());
  }
  RemoveLeftovers(options.root, position.run_id);
  core::MakeDirectories(temporary);
  core::FaultPoint("checkpoint.prepared");
  return "";
}

// One manifest of all ranks' parts. Throws BugError unless the slices tile every tensor.
Manifest Merge(const RunPosition& position, const std::vector<Outcome>& parts) {
  Manifest whole;
  whole.position = position;
  for (const Outcome& outcome : parts) {
    const Manifest part = Manifest::Parse(outcome.text, "a rank's report");
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

// Rank 0: the point of no return is the rename. Returns the committed directory.
std::string Commit(const SaveOptions& options, const RunPosition& position,
                   const fs::path& temporary, const std::vector<Outcome>& parts) {
  const Manifest manifest = Merge(position, parts);
  core::FaultPoint("checkpoint.before_manifest");
  core::FileWriter writer(temporary / kManifestName);
  writer.Write(manifest.ToText());
  writer.SyncAndClose();
  core::SyncDirectory(temporary);
  core::FaultPoint("checkpoint.before_rename");
  const fs::path target = options.root / FreeCheckpointName(options.root, position.step);
  core::RenameDurably(temporary, target);
  core::FaultPoint("checkpoint.after_rename");
  return target.string();
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

// Rank 0: removes old checkpoints. A failure is a warning: the new one is committed. A checkpoint
// first takes a temporary name, so that a half-removed one does not exist; damaged ones are neither
// counted nor touched.
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

}  // namespace

fs::path Save(const SaveOptions& options, const RunPosition& position,
              const std::vector<SliceToSave>& slices, comm::Communicator& world) {
  const fs::path temporary =
      options.root / (TemporaryPrefix(position.run_id) + std::to_string(position.step));
  OnRankZero(world, [&] {
    return OrDiscard(temporary, [&] { return Prepare(options, position, temporary); });
  });
  const Outcome mine = Outcome::Of(
      [&] { return WriteRankFile(temporary, position, slices, world.rank()).ToText(); });
  std::vector<Outcome> parts;
  for (const std::string& text : world.AllGatherText(mine.ToText())) {
    parts.push_back(Outcome::FromText(text));
  }
  for (const Outcome& part : parts) {
    if (part.ok()) continue;
    // No rank throws, and so perhaps ends the job, before rank 0 has cleared up.
    OnRankZero(world, [&] { return Discard(temporary); });
    part.Throw();
  }
  fs::path committed = OnRankZero(world, [&] {
    return OrDiscard(temporary, [&] { return Commit(options, position, temporary, parts); });
  });
  if (world.rank() == 0) Retain(options, position.run_id);
  return committed;
}

}  // namespace moat::checkpoint
