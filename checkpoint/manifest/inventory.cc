// Looking at directories.
#include "checkpoint/manifest/inventory.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;

// Of a path that may vanish meanwhile.
int64_t SizeOf(const fs::path& path) {
  std::error_code error;
  const uintmax_t size = fs::file_size(path, error);
  return error ? 0 : static_cast<int64_t>(size);
}

int64_t SizeOfAll(const fs::path& directory) {
  int64_t bytes = SizeOf(directory);
  std::error_code error;
  for (fs::directory_iterator entry(directory, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    bytes += SizeOf(entry->path());
  }
  return bytes;
}

int64_t WrittenMicroseconds(const fs::path& path) {
  std::error_code error;
  const auto time = fs::last_write_time(path, error);
  if (error) return 0;
  const auto unix_time = std::chrono::file_clock::to_sys(time).time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(unix_time).count();
}

std::string ProblemOf(const fs::path& directory, const Manifest& manifest) {
  for (const auto& [name, entry] : manifest.files) {
    std::error_code error;
    if (!fs::exists(directory / name, error)) return name + " is missing";
    const int64_t size = SizeOf(directory / name);
    if (size == entry.bytes) continue;
    return name + " has " + std::to_string(size) + " bytes, " + std::to_string(entry.bytes) +
           " were written";
  }
  return "";
}

void Mark(std::vector<ListedCheckpoint>* list) {
  const auto on_line = [](const ListedCheckpoint& one) {
    return one.complete() && !one.directory.abandoned;
  };
  const auto newest = std::find_if(list->begin(), list->end(), on_line);
  if (newest == list->end()) return;
  newest->newest = true;
  const int64_t best = BestStep(*newest->manifest);
  const auto found = std::find_if(list->begin(), list->end(), [&](const ListedCheckpoint& one) {
    return on_line(one) && best > 0 && one.directory.step == best;
  });
  if (found != list->end()) found->best = true;
}

}  // namespace

ListedCheckpoint Describe(const CheckpointDirectory& directory) {
  ListedCheckpoint listed;
  listed.directory = directory;
  listed.bytes = SizeOfAll(directory.path);
  listed.written_us = WrittenMicroseconds(directory.path / kManifestName);
  try {
    listed.manifest = ReadManifest(directory.path);
    listed.problem = ProblemOf(directory.path, *listed.manifest);
  } catch (const core::Error& error) {
    listed.problem = error.what();
  }
  return listed;
}

Inventory TakeInventory(const fs::path& root) {
  Inventory list;
  for (const CheckpointDirectory& found : ListCheckpoints(root)) {
    list.checkpoints.push_back(Describe(found));
  }
  Mark(&list.checkpoints);
  std::error_code error;
  for (fs::directory_iterator entry(root, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    if (!entry->path().filename().string().starts_with(kTemporaryPrefix)) continue;
    list.leftovers.push_back({entry->path(), SizeOfAll(entry->path())});
  }
  std::sort(list.leftovers.begin(), list.leftovers.end(),
            [](const Leftover& a, const Leftover& b) { return a.path < b.path; });
  return list;
}

int64_t BestStep(const Manifest& manifest) {
  const auto found = manifest.position.values.find("progress");
  if (found == manifest.position.values.end()) return 0;
  const auto json = nlohmann::json::parse(found->second, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("best_step")) return 0;
  return json["best_step"].is_number_integer() ? json["best_step"].get<int64_t>() : 0;
}

}  // namespace moat::checkpoint
