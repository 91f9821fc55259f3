// Reading, checking, computing and keeping packing tables.
#include "data/packing_table.h"

#include <cstring>
#include <optional>
#include <string_view>

#include "core/crc32c.h"
#include "core/digest.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/host.h"
#include "core/logging.h"
#include "data/parallel_for.h"

namespace moat::data {
namespace {

constexpr std::string_view kMagic = "moat.packing 1\n";
constexpr size_t kDigestSize = 64;  // hex
constexpr size_t kEntryNumbers = 4;

// Everything that windows and rows depend on.
std::string DigestOf(const std::vector<ShardReader>& shards, const Packing& packing) {
  std::string text = std::string(kMagic) + std::to_string(packing.seq_len) + "\n" +
                     Name(packing.mode) + "\n" + std::to_string(kBlockInteractions) + "\n" +
                     std::to_string(kWindowBytes) + "\n";
  for (const ShardReader& shard : shards) {
    text += shard.entry().content_digest + "\n" + std::to_string(shard.token_width()) + "\n";
  }
  return core::Hex(core::Sha256Of(text));
}

std::string ToBytes(const PackingTable& table, const std::string& digest) {
  std::string bytes = std::string(kMagic) + digest;
  const auto put = [&](const void* data, size_t size) {
    bytes.append(static_cast<const char*>(data), size);
  };
  for (const SplitWindow& entry : table) {
    const int64_t numbers[kEntryNumbers] = {entry.shard, entry.window.first, entry.window.count,
                                            entry.window.rows};
    put(numbers, sizeof numbers);
  }
  const uint32_t crc = core::Crc32c(bytes.data(), bytes.size());
  put(&crc, sizeof crc);
  return bytes;
}

// Windows tile every shard in order and hold whole blocks.
bool Tiles(const PackingTable& table, const std::vector<ShardReader>& shards) {
  size_t at = 0;
  for (size_t shard = 0; shard < shards.size(); ++shard) {
    int64_t next = 0;
    for (; at < table.size() && table[at].shard == static_cast<int32_t>(shard); ++at) {
      const ShardWindow& window = table[at].window;
      if (window.first != next || window.first % kBlockInteractions != 0) return false;
      if (window.count <= 0 || window.rows <= 0) return false;
      if (window.count > shards[shard].interactions() - next) return false;
      next += window.count;
    }
    if (next != shards[shard].interactions()) return false;
  }
  return at == table.size();
}

// nullopt: the bytes are not an intact table of these shards.
std::optional<PackingTable> FromBytes(const std::string& bytes, const std::string& digest,
                                      const std::vector<ShardReader>& shards) {
  constexpr size_t kEntrySize = kEntryNumbers * sizeof(int64_t);
  const size_t head = kMagic.size() + kDigestSize;
  if (bytes.size() < head + 4 || (bytes.size() - head - 4) % kEntrySize != 0) return std::nullopt;
  uint32_t crc = 0;
  std::memcpy(&crc, bytes.data() + bytes.size() - 4, 4);
  if (crc != core::Crc32c(bytes.data(), bytes.size() - 4)) return std::nullopt;
  if (bytes.compare(0, head, std::string(kMagic) + digest) != 0) return std::nullopt;
  PackingTable table;
  for (size_t at = head; at + 4 < bytes.size(); at += kEntrySize) {
    int64_t numbers[kEntryNumbers];
    std::memcpy(numbers, bytes.data() + at, kEntrySize);
    table.push_back({static_cast<int32_t>(numbers[0]), {numbers[1], numbers[2], numbers[3]}});
  }
  if (!Tiles(table, shards)) return std::nullopt;
  return table;
}

std::optional<PackingTable> Kept(const std::filesystem::path& path, const std::string& digest,
                                 const std::vector<ShardReader>& shards) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  try {
    std::optional<PackingTable> table = FromBytes(core::ReadWholeFile(path), digest, shards);
    if (!table) {
      core::Log(core::Log::kWarning)
          << path.string() << " is damaged or of other data: counting the samples again";
    }
    return table;
  } catch (const core::StorageError& error) {
    core::Log(core::Log::kWarning) << error.what() << ": counting the samples again";
    return std::nullopt;
  }
}

PackingTable Compute(const std::vector<ShardReader>& shards, const Packing& packing) {
  std::vector<std::vector<ShardWindow>> windows(shards.size());
  ParallelFor(static_cast<int64_t>(shards.size()), core::Cores(), [&](int64_t i) {
    windows[static_cast<size_t>(i)] = WindowsOf(shards[static_cast<size_t>(i)], &packing);
  });
  PackingTable table;
  for (size_t shard = 0; shard < shards.size(); ++shard) {
    for (const ShardWindow& window : windows[shard]) {
      table.push_back({static_cast<int32_t>(shard), window});
    }
  }
  return table;
}

std::filesystem::path PathOf(const std::filesystem::path& directory, const std::string& digest) {
  return directory / "packing" / (digest.substr(0, 16) + ".tbl");
}

}  // namespace

std::filesystem::path PackingTablePath(const std::filesystem::path& directory,
                                       const std::vector<ShardReader>& shards,
                                       const Packing& packing) {
  return PathOf(directory, DigestOf(shards, packing));
}

PackingTable OpenPackingTable(const std::filesystem::path& directory,
                              const std::vector<ShardReader>& shards, const Packing& packing,
                              int64_t keep_from) {
  int64_t interactions = 0;
  for (const ShardReader& shard : shards) interactions += shard.interactions();
  if (interactions < keep_from) return Compute(shards, packing);
  const std::string digest = DigestOf(shards, packing);
  const std::filesystem::path path = PathOf(directory, digest);
  if (std::optional<PackingTable> kept = Kept(path, digest, shards)) return *std::move(kept);
  PackingTable table = Compute(shards, packing);
  try {
    core::MakeDirectories(path.parent_path());
    core::WriteFileAtomically(path, ToBytes(table, digest));
  } catch (const core::StorageError& error) {
    core::Log() << "the next start has to count the samples again: " << error.what();
  }
  return table;
}

}  // namespace moat::data
