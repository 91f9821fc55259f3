// Windows: the runs of interactions that shards are read in, 16 MiB each.
#pragma once

#include <cstdint>
#include <vector>

#include "data/packing.h"
#include "data/shard_reader.h"

namespace moat::data {

// A window ends with the first block at which it holds this many bytes, or with its shard. CRCs
// cover 1 MiB of each dataset, so reading much less at a time would read most bytes twice.
inline constexpr int64_t kWindowBytes = 16 << 20;

// Consecutive interactions of one shard: whole blocks.
struct ShardWindow {
  int64_t first = 0;
  int64_t count = 0;
  int64_t rows = 0;  // that its blocks pack into

  bool operator==(const ShardWindow&) const = default;
};

// Cuts a shard into windows and counts the rows of each; without `packing` rows are 0. Reads the
// starts of all segments, a bounded number at a time. Depends on the shard alone: what is appended
// to a data set leaves the windows before it as they were.
std::vector<ShardWindow> WindowsOf(const ShardReader& shard, const Packing* packing);

}  // namespace moat::data
