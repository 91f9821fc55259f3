// What lies in a run's checkpoint directory, for people and for retention: each checkpoint with
// what its manifest and the sizes of its files say, and what saves that were cut short left behind.
// Contents of files are not read: checkpoint/verify.h does that.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/manifest/manifest.h"

namespace moat::checkpoint {

struct ListedCheckpoint {
  CheckpointDirectory directory;
  std::optional<Manifest> manifest;  // where it is sound
  std::string problem;               // "": the manifest is sound and every file has its size
  int64_t bytes = 0;                 // of the files that are there
  int64_t written_us = 0;            // wall clock: when the manifest was written
  bool newest = false;               // the complete one that the run would go on from
  bool best = false;                 // of the best evaluation, as the newest one says
  bool complete() const { return problem.empty(); }
};
struct Leftover {
  std::filesystem::path path;  // .tmp-...
  int64_t bytes = 0;
};
struct Inventory {
  std::vector<ListedCheckpoint> checkpoints;  // newest first
  std::vector<Leftover> leftovers;            // by name
};

// Throws StorageError where `root` cannot be listed; one that is absent has nothing in it.
Inventory TakeInventory(const std::filesystem::path& root);

// One directory, without marks.
ListedCheckpoint Describe(const CheckpointDirectory& directory);

// The step of the best evaluation so far, as a manifest says; 0: none yet.
int64_t BestStep(const Manifest& manifest);

}  // namespace moat::checkpoint
