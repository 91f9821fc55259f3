// Blocks, counted at the start and read on demand.
#include "data/block_store.h"

#include <algorithm>

#include "core/error.h"

namespace moat::data {

int64_t PackedBlock::MemoryBytes() const {
  const size_t segments = interactions.role.size() * 13;
  return static_cast<int64_t>(interactions.tokens.size() * sizeof(int32_t) + segments +
                              rows.size() * (sizeof(Row) + sizeof(Piece)));
}

BlockStore::BlockStore(const Dataset& dataset, const std::string& split, int64_t seq_len)
    : seq_len_(seq_len) {
  for (const ShardEntry& entry : dataset.ShardsOf(split)) {
    shards_.emplace_back(dataset.directory(), entry, dataset.vocab_size());
    AddShard(static_cast<int32_t>(shards_.size()) - 1);
  }
  if (places_.empty()) {
    throw core::DataError(dataset.directory().string() + ": the " + split +
                          " split is empty: import more data, or raise --validation_fraction");
  }
}

void BlockStore::AddShard(int32_t shard) {
  const ShardReader& reader = shards_[static_cast<size_t>(shard)];
  constexpr int64_t kChunk = 1024 * kBlockInteractions;  // bounds memory, not numbering
  for (int64_t begin = 0; begin < reader.interactions(); begin += kChunk) {
    const int64_t chunk = std::min(kChunk, reader.interactions() - begin);
    const std::vector<int64_t> lengths = reader.ReadLengths(begin, chunk);
    for (int64_t at = 0; at < chunk; at += kBlockInteractions) {
      const int64_t count = std::min(kBlockInteractions, chunk - at);
      const std::vector<int64_t> block(lengths.begin() + at, lengths.begin() + at + count);
      const auto samples = static_cast<int64_t>(PackBlock(block, seq_len_).size());
      places_.push_back({shard, begin + at, count, samples});
    }
  }
}

std::shared_ptr<const PackedBlock> BlockStore::Load(int64_t block) const {
  const Place& place = places_[static_cast<size_t>(block)];
  auto packed = std::make_shared<PackedBlock>();
  packed->interactions =
      shards_[static_cast<size_t>(place.shard)].ReadInteractions(place.first, place.count);
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < place.count; ++i) {
    lengths.push_back(packed->interactions.TokenStart(i + 1) - packed->interactions.TokenStart(i));
  }
  packed->rows = PackBlock(lengths, seq_len_);
  if (static_cast<int64_t>(packed->rows.size()) != place.samples) {
    throw core::DataError(shards_[static_cast<size_t>(place.shard)].entry().file +
                          ": the shard changed while it was in use");
  }
  return packed;
}

std::shared_ptr<const PackedBlock> BlockStore::Get(int64_t block) const {
  {
    const std::lock_guard lock(mutex_);
    const auto found = cached_.find(block);
    if (found != cached_.end()) {
      recent_.splice(recent_.begin(), recent_, found->second);
      return found->second->second;
    }
  }
  auto packed = Load(block);  // outside the lock: two threads may read the same block, harmlessly
  const std::lock_guard lock(mutex_);
  if (cached_.contains(block)) return packed;
  recent_.emplace_front(block, packed);
  cached_[block] = recent_.begin();
  cached_bytes_ += packed->MemoryBytes();
  while (cached_bytes_ > kCacheBytes && recent_.size() > 1) {
    cached_bytes_ -= recent_.back().second->MemoryBytes();
    cached_.erase(recent_.back().first);
    recent_.pop_back();
  }
  return packed;
}

}  // namespace moat::data
