// Reads a shard through the addresses in the index: pread and CRC32C, no HDF5 call.
//
// Shards are untrusted: whatever does not fit (size, CRC, order of starts, role, weight, token) is
// a DataError that names file, dataset and row.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/durable_file.h"
#include "data/dataset.h"
#include "data/shard_format.h"
#include "data/tokenizer.h"

namespace moat::data {

// Consecutive interactions, with starts counted from the first token and segment among them.
struct StoredInteractions {
  std::vector<int32_t> tokens;
  std::vector<int64_t> segment_start;  // [segments + 1]
  std::vector<Role> role;              // [segments]
  std::vector<float> weight;           // [segments]
  std::vector<int64_t> first_segment;  // [interactions + 1]

  int64_t size() const { return static_cast<int64_t>(first_segment.size()) - 1; }
  int64_t TokenStart(int64_t interaction) const {  // of interaction size(): the end
    return segment_start[static_cast<size_t>(first_segment[static_cast<size_t>(interaction)])];
  }
};

// Ids of consecutive interactions.
struct StoredKeys {
  std::vector<uint64_t> id, user, request;
  std::vector<int64_t> time;
};

class ShardReader {
 public:
  // Opens the file and checks its size against `entry`.
  ShardReader(const std::filesystem::path& directory, const ShardEntry& entry, int64_t vocab_size);

  const ShardEntry& entry() const { return entry_; }
  int64_t interactions() const { return entry_.interactions; }

  // REQUIRES: 0 <= first, 0 < count, first + count <= interactions(). Thread-safe, as all below.
  StoredInteractions ReadInteractions(int64_t first, int64_t count) const;
  StoredKeys ReadKeys(int64_t first, int64_t count) const;

  // Length in tokens of each interaction; reads the starts only.
  std::vector<int64_t> ReadLengths(int64_t first, int64_t count) const;

  // Every byte of one dataset against its CRCs, block by block.
  void VerifyArray(shard::Array array) const;

  // Recomputes the content digest from the bytes of the file.
  std::string ComputeContentDigest() const;

 private:
  template <typename T>
  std::vector<T> Read(shard::Array array, int64_t first, int64_t count) const;
  void ReadBytes(shard::Array array, int64_t first, int64_t size, uint8_t* out) const;
  void ReadBlock(shard::Array array, int64_t block, std::vector<uint8_t>* out) const;
  std::vector<int64_t> ReadStarts(shard::Array array, int64_t first, int64_t count, int64_t limit,
                                  int64_t least) const;
  std::vector<int32_t> ReadTokens(int64_t first, int64_t count) const;
  [[noreturn]] void Fail(shard::Array array, int64_t row, const std::string& what) const;

  ShardEntry entry_;
  int64_t vocab_size_;
  core::FileReader file_;
};

}  // namespace moat::data
