// index.json of a data set: its schema, written and read here only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace moat::data {

inline constexpr const char* kIndexFile = "index.json";
inline constexpr const char* kIndexFormat = "moat.dataset";
inline constexpr int kIndexVersion = 1;  // of the schema

// What the first import was told that appends go on with.
struct ImportChoices {
  std::string dedup = "off";
  double near_threshold = 0.8;
  double validation_fraction = 0.05, test_fraction = 0;
  uint64_t seed = 1;
};

// One append, to recognise it.
struct AppendRecord {
  std::string import_digest;
  std::vector<std::string> inputs;
  int version = 0;  // that it made; the newest then, where everything was a duplicate
};

// What an import did, kept for people and for recognising the same import.
struct Provenance {
  std::string import_digest;  // of the flags and the state of the inputs
  std::vector<std::string> inputs;
  std::string split_rule;      // "by user", ... as printed
  int64_t created_micros = 0;  // Unix time
  std::map<std::string, int64_t>
      counts;  // "quarantined", "binary files skipped", ...; appends' too
  ImportChoices choices;
  std::string
      key_check;  // HashOfId of "" in hex: tells another user key from this one; "": not kept
  std::vector<AppendRecord> appends;
};

struct Index {
  int64_t vocab_size = 0;
  std::string tokenizer_digest, template_digest, content_digest;
  std::vector<ShardEntry> shards;  // in the order that numbers interactions; of the newest version
  std::vector<DatasetVersion> history;  // [i] is version i + 1; the last one is the newest
  Provenance provenance;
};

// SHA-256 over the tokenizer's and the template's digests and, per shard of the first `shards`,
// split and content digest, each followed by a line feed.
std::string DatasetDigest(const Index& index, int64_t shards);

// Adds the version that the shards of `index` now are: its history entry, after a digest for every
// earlier version whose contents changed, and content_digest.
void AddVersion(Index* index, const std::string& kind, int64_t interactions);

// Shards alone, as the index holds them, for work in progress. Reading throws DataError.
std::string ShardsToText(const std::vector<ShardEntry>& shards);
std::vector<ShardEntry> ShardsFromText(const std::string& text);

// Replaces DIR/index.json durably. The file carries a SHA-256 of its own text.
void WriteIndex(const std::filesystem::path& directory, const Index& index);

// Reads and validates: schema, own checksum, names, dtypes, counts, addresses inside the file,
// number of CRCs, content digest. DataError; ConfigError when there is no index.
Index ReadIndex(const std::filesystem::path& directory);

}  // namespace moat::data
