// The manifest of a checkpoint: what makes a directory one. Pure: text in, values out.
// docs/checkpoint-format.md describes it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/shape.h"
#include "parallel/slice.h"

namespace moat::checkpoint {

struct Piece {
  parallel::Slice slice;  // of the global tensor
  std::string file;
  int64_t offset = 0;  // absolute in the file
  int64_t bytes = 0;
  uint32_t crc32c = 0;
};

struct TensorEntry {
  core::DType dtype = core::DType::kF32;
  core::Shape shape;  // global
  std::vector<Piece> pieces;
};

struct FileEntry {
  int64_t bytes = 0;
  int64_t header_bytes = 0;  // the 8-byte length and the JSON header
  uint32_t header_crc32c = 0;
};

// What a run needs to go on, besides tensors. Free-form values are JSON text, so that this header
// knows nothing of trainers; they come back as the same JSON, without spaces.
struct RunPosition {
  std::string run_id;
  int64_t step = 0;
  // Names of the directories it descends from, oldest first; some of those that are gone are not.
  std::vector<std::string> lineage;
  std::map<std::string, std::string>
      values;  // "config", "data", "grid", "rng", "sample_hash", "metrics": JSON text
};

inline constexpr int kManifestVersion = 1;
inline constexpr char kManifestName[] = "manifest.json";

struct Manifest {
  int version = kManifestVersion;
  RunPosition position;
  std::map<std::string, TensorEntry> tensors;
  std::map<std::string, FileEntry> files;

  // Ends with the CRC of what stands before it. Throws BugError when a value is not JSON.
  std::string ToText() const;
  // Throws DataError naming `where` when text is damaged, of a newer version, or fails Validate().
  static Manifest FromText(const std::string& text, const std::string& where);
  // The same without Validate(): for the part of a manifest that one rank contributes.
  static Manifest Parse(const std::string& text, const std::string& where);
  // Throws DataError naming `where` unless pieces tile every tensor exactly, header and pieces tile
  // every byte of every file, and all sizes agree.
  void Validate(const std::string& where) const;
};

// Reads and checks the manifest of one directory. Throws DataError.
Manifest ReadManifest(const std::filesystem::path& directory);

// Directory names: step-00000200, step-00000200.g2, ... and the newest first, by step, then
// generation. A directory without manifest.json is not listed, nor is one under another name.
struct CheckpointDirectory {
  std::filesystem::path path;
  int64_t step = 0;
  int generation = 1;
  bool abandoned = false;  // not on the run's own line: checkpoint/manifest/line.h
};
std::vector<CheckpointDirectory> ListCheckpoints(const std::filesystem::path& root);
std::string CheckpointName(int64_t step, int generation);
// What is being written, or was left by what was cut short, begins with this. A run's own with
// TemporaryPrefix.
inline constexpr char kTemporaryPrefix[] = ".tmp-";
inline constexpr char kCopyPrefix[] = ".tmp-copy-";  // of a copy that is not complete: not a run's
std::string TemporaryPrefix(const std::string& run_id);
// The first generation of `step` whose name is free in `root`, and was not an abandoned one's.
std::string FreeCheckpointName(const std::filesystem::path& root, int64_t step);

// Which checkpoints of a run's own line stay.
struct Retention {
  int keep = 2;                       // the newest steps; at least 2
  std::vector<int64_t> protect = {};  // steps that stay (the best one)
  int64_t keep_every = 0;             // steps that this divides stay, as milestones; 0: none
};

// Which of `good` (newest first, each known to be intact) retention removes: of the run's own line
// all but what `retention` names. An abandoned one is not counted, and stays until all of the
// newest are of later steps.
std::vector<CheckpointDirectory> ChooseRemovals(const std::vector<CheckpointDirectory>& good,
                                                const Retention& retention);

}  // namespace moat::checkpoint
