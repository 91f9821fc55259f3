// Reads a shard through the addresses in the index: pread and CRC32C, no HDF5 call.
//
// A shard that another program rewrote (compressed or chunked, h5repack for one) has no such
// addresses any more. Where HDF5 finds the same counts, types and content digest in it, it is read
// through HDF5, one thread at a time, with the same CRCs.
//
// Shards are untrusted: whatever does not fit (size, CRC, order of starts, role, weight, token) is
// a DataError that names file, dataset and row.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/durable_file.h"
#include "data/dataset.h"
#include "data/hdf5_shard.h"
#include "data/shard_format.h"
#include "data/tokenizer.h"

namespace moat::data {

// How consecutive interactions are cut into segments, with starts counted from the first token and
// segment among them.
struct StoredSegments {
  std::vector<int64_t> segment_start;  // [segments + 1]
  std::vector<Role> role;              // [segments]
  std::vector<float> weight;           // [segments]
  std::vector<int64_t> first_segment;  // [interactions + 1]

  int64_t size() const { return static_cast<int64_t>(first_segment.size()) - 1; }
  int64_t TokenStart(int64_t interaction) const {  // of interaction size(): the end
    return segment_start[static_cast<size_t>(first_segment[static_cast<size_t>(interaction)])];
  }
};

// Consecutive interactions.
struct StoredInteractions : StoredSegments {
  std::vector<int32_t> tokens;
};

// The same with tokens as they lie in the file, for who reads many and uses them once.
struct StoredRun : StoredSegments {
  int64_t tokens = 0;
  int64_t token_width = 2;                 // bytes: 2 (u16) or 4 (u32)
  std::unique_ptr<uint8_t[]> token_bytes;  // [tokens * token_width], all below vocab_size

  // Calls `use` with a pointer to the first token, of its own type.
  template <typename Use>
  void WithTokens(const Use& use) const {
    if (token_width == 2) {
      use(reinterpret_cast<const uint16_t*>(token_bytes.get()));
    } else {
      use(reinterpret_cast<const uint32_t*>(token_bytes.get()));
    }
  }
};

// Of each of consecutive interactions.
struct InteractionSizes {
  std::vector<int64_t> tokens, segments;
};

// Ids of consecutive interactions.
struct StoredKeys {
  std::vector<uint64_t> id, user, request;
  std::vector<int64_t> time;
};

class ShardReader {
 public:
  // Opens the file and checks its size against `entry`: another one means a rewritten shard, or a
  // DataError. The file may be deleted from then on.
  ShardReader(const std::filesystem::path& directory, const ShardEntry& entry, int64_t vocab_size);

  const ShardEntry& entry() const { return entry_; }
  int64_t interactions() const { return entry_.interactions; }
  int64_t token_width() const { return core::SizeOf(shard::TokenType(vocab_size_)); }

  bool rewritten() const { return rewritten_ != nullptr; }

  // REQUIRES: 0 <= first, 0 < count, first + count <= interactions(). Thread-safe, as all below.
  StoredInteractions ReadInteractions(int64_t first, int64_t count) const;
  StoredRun ReadRun(int64_t first, int64_t count) const;
  StoredKeys ReadKeys(int64_t first, int64_t count) const;

  // Reads the starts only.
  InteractionSizes ReadSizes(int64_t first, int64_t count) const;

  // Every byte of one dataset against its CRCs, block by block.
  void VerifyArray(shard::Array array) const;

  // Recomputes the content digest from the bytes of the file.
  std::string ComputeContentDigest() const;

 private:
  template <typename T>
  std::vector<T> Read(shard::Array array, int64_t first, int64_t count) const;
  void ReadBytes(shard::Array array, int64_t first, int64_t size, uint8_t* out) const;
  int64_t BlockSize(shard::Array array, int64_t block) const;
  void ReadBlock(shard::Array array, int64_t block, uint8_t* out) const;
  std::vector<int64_t> ReadStarts(shard::Array array, int64_t first, int64_t count, int64_t limit,
                                  int64_t least) const;
  void ReadTokens(int64_t first, StoredRun* run) const;
  template <typename T>
  void CheckTokens(const T* tokens, int64_t first, int64_t count) const;
  [[noreturn]] void Fail(shard::Array array, int64_t row, const std::string& what) const;

  ShardEntry entry_;
  int64_t vocab_size_;
  core::FileReader file_;
  std::shared_ptr<const Hdf5Shard> rewritten_;  // null: the file is as it was written
};

}  // namespace moat::data
