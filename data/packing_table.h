// The windows of a split and their numbers of rows, kept in a file so that a run starts at once.
//
// The file is a cache: DIR/packing/<digest>.tbl, where the digest covers everything the numbers
// depend on. One that is damaged, foreign or absent is computed again, in parallel.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/shard_reader.h"
#include "data/windows.h"

namespace moat::data {

struct SplitWindow {
  int32_t shard = 0;  // of the split
  ShardWindow window;

  bool operator==(const SplitWindow&) const = default;
};
using PackingTable = std::vector<SplitWindow>;  // by shard, then by first interaction

// Below this many interactions counting is quicker than keeping.
inline constexpr int64_t kKeepTableFrom = 1 << 16;

// The table of the split whose shards are given, in order: read from DIR/packing where it is
// intact, else computed and, with `keep_from` interactions or more, kept there. Where it cannot be
// written it is only logged. Throws DataError for what is wrong with a shard.
PackingTable OpenPackingTable(const std::filesystem::path& directory,
                              const std::vector<ShardReader>& shards, const Packing& packing,
                              int64_t keep_from = kKeepTableFrom);

// Where OpenPackingTable keeps it.
std::filesystem::path PackingTablePath(const std::filesystem::path& directory,
                                       const std::vector<ShardReader>& shards,
                                       const Packing& packing);

}  // namespace moat::data
