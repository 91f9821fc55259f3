// The windows of a split in memory: read, checked and packed on demand, the last few kept.
#pragma once

#include <cstdint>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/dataset.h"
#include "data/packing_table.h"
#include "data/shard_reader.h"

namespace moat::data {

// Consecutive prediction slots of a row, counted from the first token of the window.
struct PlacedPiece {
  int64_t first_token = 0;
  int32_t slots = 0;
  int32_t segment = 0;  // that of the first target
};

// A window in memory. Immutable.
struct LoadedWindow {
  StoredRun run;
  std::vector<uint8_t> header;       // [segments] tokens at its start that never carry weight
  std::vector<PlacedPiece> pieces;   // row by row, left to right
  std::vector<int64_t> first_piece;  // [rows + 1]

  std::span<const PlacedPiece> Row(int64_t row) const;
};

class WindowStore {
 public:
  // Opens the shards of the split and its packing table. Throws DataError when the split is empty
  // or a shard is not what the index says.
  WindowStore(const Dataset& dataset, const std::string& split, const Packing& packing);

  std::vector<int64_t> RowsPerWindow() const;

  // Reads, checks and packs a window, or takes it from the last `keep` that were used. Several
  // threads may ask for the same one: the first reads it. Thread-safe.
  std::shared_ptr<const LoadedWindow> Get(int64_t window) const;

  // How many windows stay in memory.
  static constexpr size_t kKept = 8;

 private:
  using Loaded = std::shared_ptr<const LoadedWindow>;
  struct Entry {
    int64_t window;
    std::shared_future<Loaded> loaded;
  };

  Loaded Load(int64_t window) const;
  void Forget(int64_t window) const;

  Packing packing_;
  std::vector<ShardReader> shards_;
  PackingTable table_;

  mutable std::mutex mutex_;         // guards what follows
  mutable std::list<Entry> recent_;  // most recently used first
  mutable std::unordered_map<int64_t, std::list<Entry>::iterator> cached_;
};

}  // namespace moat::data
