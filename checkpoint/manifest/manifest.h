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
// knows nothing of trainers.
struct RunPosition {
  std::string run_id;
  int64_t step = 0;
  std::vector<std::string> lineage;  // directories this state descends from, oldest first
  std::map<std::string, std::string>
      values;  // "config", "data", "grid", "rng", "sample_hash", "metrics": JSON text
};

struct Manifest {
  int version = 1;
  RunPosition position;
  std::map<std::string, TensorEntry> tensors;
  std::map<std::string, FileEntry> files;

  std::string ToText() const;  // ends with the CRC of what stands before it
  // Throws DataError naming `where` when text is damaged, of a newer version, or does not tile
  // every byte of its files.
  static Manifest FromText(const std::string& text, const std::string& where);
};

// Directory names: step-00000200, step-00000200.g2, ... and the newest first. A directory without
// manifest.json is not listed.
struct CheckpointDirectory {
  std::filesystem::path path;
  int64_t step = 0;
  int generation = 1;
};
std::vector<CheckpointDirectory> ListCheckpoints(const std::filesystem::path& root);
std::string CheckpointName(int64_t step, int generation);

}  // namespace moat::checkpoint
