// Names of checkpoint directories: listing them, finding a free one, choosing which go.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <optional>

#include "checkpoint/manifest/line.h"
#include "checkpoint/manifest/manifest.h"
#include "core/error.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;

// The inverse of CheckpointName; nullopt for every other name.
std::optional<CheckpointDirectory> FromPath(const fs::path& path) {
  const std::string name = path.filename().string();
  CheckpointDirectory directory{path};
  constexpr size_t kPrefix = 5;
  if (name.compare(0, kPrefix, "step-") != 0) return std::nullopt;
  const char* const end = name.data() + name.size();
  const auto step = std::from_chars(name.data() + kPrefix, end, directory.step);
  if (step.ec != std::errc() || directory.step < 0) return std::nullopt;
  if (step.ptr != end && end - step.ptr > 2) {
    std::from_chars(step.ptr + 2, end, directory.generation);
  }
  if (directory.generation < 1 || name != CheckpointName(directory.step, directory.generation)) {
    return std::nullopt;
  }
  return directory;
}

}  // namespace

std::string CheckpointName(int64_t step, int generation) {
  char text[64];
  std::snprintf(text, sizeof text, "step-%08lld", static_cast<long long>(step));
  return generation == 1 ? std::string(text) : text + (".g" + std::to_string(generation));
}

std::vector<CheckpointDirectory> ListCheckpoints(const fs::path& root) {
  std::vector<CheckpointDirectory> found;
  const std::set<std::string> abandoned = ReadAbandoned(root);
  std::error_code error;
  fs::directory_iterator entries(root, error);
  if (error == std::errc::no_such_file_or_directory) return found;
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    auto directory = FromPath(entries->path());
    std::error_code ignored;
    if (directory && fs::exists(directory->path / kManifestName, ignored)) {
      directory->abandoned = abandoned.contains(directory->path.filename());
      found.push_back(*directory);
    }
  }
  if (error) {
    throw core::StorageError("cannot list the checkpoints in " + root.string() + ": " +
                             error.message());
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return std::pair(a.step, a.generation) > std::pair(b.step, b.generation);
  });
  return found;
}

std::string FreeCheckpointName(const fs::path& root, int64_t step) {
  const std::set<std::string> abandoned = ReadAbandoned(root);
  int generation = 1;
  std::error_code ignored;
  while (fs::exists(root / CheckpointName(step, generation), ignored) ||
         abandoned.contains(CheckpointName(step, generation))) {
    ++generation;
  }
  return CheckpointName(step, generation);
}

std::string TemporaryPrefix(const std::string& run_id) {
  MOAT_CHECK(!run_id.empty() && run_id.find('/') == std::string::npos,
             "a run id is part of a directory's name");
  return kTemporaryPrefix + run_id + "-";
}

std::vector<CheckpointDirectory> ChooseRemovals(const std::vector<CheckpointDirectory>& good,
                                                const Retention& retention) {
  const int kept = std::max(retention.keep, 2);
  std::vector<int64_t> newest;  // the own line's steps that stay
  std::vector<CheckpointDirectory> removals;
  const auto is_in = [](const std::vector<int64_t>& steps, int64_t step) {
    return std::find(steps.begin(), steps.end(), step) != steps.end();
  };
  const auto stays = [&](int64_t step) {
    const bool milestone = retention.keep_every > 0 && step % retention.keep_every == 0;
    return milestone || is_in(newest, step) || is_in(retention.protect, step);
  };
  for (const CheckpointDirectory& directory : good) {
    const bool full = static_cast<int>(newest.size()) >= kept;
    if (directory.abandoned) {
      if (full && directory.step < newest.back()) removals.push_back(directory);
    } else if (!full && !is_in(newest, directory.step)) {
      newest.push_back(directory.step);
    } else if (!stays(directory.step)) {
      removals.push_back(directory);
    }
  }
  return removals;
}

}  // namespace moat::checkpoint
