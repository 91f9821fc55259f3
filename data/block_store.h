// The blocks of a split: where they lie, how many samples each packs into, and a cache of them.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/dataset.h"
#include "data/packing.h"
#include "data/shard_reader.h"

namespace moat::data {

// A fixed block: at most this many consecutive interactions of one shard. Blocks never span shards,
// so appending shards leaves every earlier block as it was.
inline constexpr int64_t kBlockInteractions = 64;

// A block in memory, packed for one seq_len. Immutable.
struct PackedBlock {
  StoredInteractions interactions;
  std::vector<Row> rows;

  int64_t MemoryBytes() const;
};

class BlockStore {
 public:
  // Reads the lengths of all interactions of the split and packs every block once, to count its
  // samples. Throws DataError when the split is empty or a shard is not what the index says.
  BlockStore(const Dataset& dataset, const std::string& split, int64_t seq_len);

  int64_t blocks() const { return static_cast<int64_t>(places_.size()); }
  int64_t samples(int64_t block) const { return places_[static_cast<size_t>(block)].samples; }

  // Reads, checks and packs a block, or takes it from the cache, which keeps the least recently
  // used below kCacheBytes. Thread-safe.
  std::shared_ptr<const PackedBlock> Get(int64_t block) const;

 private:
  static constexpr int64_t kCacheBytes = 256 << 20;
  struct Place {
    int32_t shard = 0;
    int64_t first = 0;  // interaction of the shard
    int64_t count = 0;
    int64_t samples = 0;
  };
  using Entry = std::pair<int64_t, std::shared_ptr<const PackedBlock>>;

  void AddShard(int32_t shard);
  std::shared_ptr<const PackedBlock> Load(int64_t block) const;

  int64_t seq_len_;
  std::vector<ShardReader> shards_;
  std::vector<Place> places_;

  mutable std::mutex mutex_;         // guards what follows
  mutable std::list<Entry> recent_;  // most recently used first
  mutable std::unordered_map<int64_t, std::list<Entry>::iterator> cached_;
  mutable int64_t cached_bytes_ = 0;
};

}  // namespace moat::data
