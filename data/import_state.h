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
#include "data/split.h"

namespace moat::data {

// The first pass, complete: everything readable lies in the spool, the tokenizer and the key are
// made.
struct ImportState {
  int64_t text_bytes = 0;
  int64_t records = 0;
  int64_t quarantined = 0;
  std::map<std::string, int64_t> counts;
  Split split{size_t{0}};  // of the interactions in the spool
};

// Durable; the last thing of the first pass. The spool is DIRECTORY/spool.
void WriteImportState(const std::filesystem::path& directory, const ImportState& state);
// nullopt where the first pass did not get to its end, or the spool is not the one it wrote, or
// another version of moat wrote it. Beside a finished index `split` is empty: nothing needs it or
// the spool.
std::optional<ImportState> ReadImportState(const std::filesystem::path& directory);

// The shards sealed so far. Durable.
void WriteSealed(const std::filesystem::path& directory, const std::vector<ShardEntry>& sealed);
// Empty unless all of them are there, under `shards_in`, and as long as they were.
std::vector<ShardEntry> ReadSealed(const std::filesystem::path& directory,
                                   const std::filesystem::path& shards_in);

// Removes what only an import needs, its temporary files included. Killed while it does, the next
// import can still read the state.
void RemoveImportState(const std::filesystem::path& directory);

inline constexpr const char* kSpoolFile = "spool";

}  // namespace moat::data
