// Cutting shards into windows.
#include "data/windows.h"

#include <algorithm>

namespace moat::data {
namespace {

// What a block takes in memory and on the disk, without its users and times.
int64_t BytesOf(const InteractionSizes& sizes, int64_t begin, int64_t end, int64_t token_width) {
  constexpr int64_t kSegmentBytes = 8 + 1 + 4;  // start, role, weight
  int64_t bytes = 0;
  for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
    bytes += sizes.tokens[i] * token_width + sizes.segments[i] * kSegmentBytes + 8;
  }
  return bytes;
}

}  // namespace

std::vector<ShardWindow> WindowsOf(const ShardReader& shard, const Packing* packing) {
  constexpr int64_t kChunk = 4096 * kBlockInteractions;  // bounds memory, not windows
  std::vector<ShardWindow> windows;
  int64_t bytes = kWindowBytes;  // of the last window; full: the next block begins one
  for (int64_t begin = 0; begin < shard.interactions(); begin += kChunk) {
    const int64_t chunk = std::min(kChunk, shard.interactions() - begin);
    const InteractionSizes sizes = shard.ReadSizes(begin, chunk);
    for (int64_t at = 0; at < chunk; at += kBlockInteractions) {
      const int64_t end = std::min(at + kBlockInteractions, chunk);
      if (bytes >= kWindowBytes) {
        windows.push_back({begin + at, 0, 0});
        bytes = 0;
      }
      ShardWindow& window = windows.back();
      window.count += end - at;
      if (packing) {
        const std::span<const int64_t> lengths(sizes.tokens);
        window.rows += CountRows(
            lengths.subspan(static_cast<size_t>(at), static_cast<size_t>(end - at)), *packing);
      }
      bytes += BytesOf(sizes, at, end, shard.token_width());
    }
  }
  return windows;
}

}  // namespace moat::data
