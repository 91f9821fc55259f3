// What an import that was interrupted left behind, in the directory it was building: enough for the
// next one with the same inputs and flags to go on without reading them or writing shards again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace moat::data {

// The first pass, complete: everything readable lies in the spool, the tokenizer and the key are
// made.
struct ImportState {
  std::string split_rule;
  int64_t text_bytes = 0;
  int64_t records = 0;
  int64_t quarantined = 0;
  std::map<std::string, int64_t> counts;
  std::vector<uint8_t>
      split;  // of each interaction in the spool: index into kSplitNames, or kLeftOut

  static constexpr uint8_t kLeftOut = 255;
};

// Durable; the last thing of the first pass. The spool is DIRECTORY/spool.
void WriteImportState(const std::filesystem::path& directory, const ImportState& state);
// nullopt where the first pass did not get to its end, or the spool is not the one it wrote.
std::optional<ImportState> ReadImportState(const std::filesystem::path& directory);

// The shards sealed so far. Durable.
void WriteSealed(const std::filesystem::path& directory, const std::vector<ShardEntry>& sealed);
// Empty unless all of them are there and as long as they were.
std::vector<ShardEntry> ReadSealed(const std::filesystem::path& directory);

// Removes what only an import needs, its temporary files included.
void RemoveImportState(const std::filesystem::path& directory);

inline constexpr const char* kSpoolFile = "spool";

}  // namespace moat::data
