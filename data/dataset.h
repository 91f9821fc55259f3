// A data set: a directory with index.json and its shards. docs/dataset-format.md describes both.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace moat::data {

// One dataset (tokens, segment_start, ...) inside a shard: where its bytes lie in the file.
struct StoredArray {
  std::string name;
  std::string dtype;  // core dtype name
  int64_t count = 0;
  int64_t offset = 0;            // absolute, of the contiguous bytes
  std::vector<uint32_t> crc32c;  // one per 1 MiB block
};

struct ShardEntry {
  std::string file;  // relative to the data set's directory
  std::string split;
  int64_t interactions = 0;
  int64_t segments = 0;
  int64_t tokens = 0;
  std::string content_digest;  // hex SHA-256
  int64_t bytes = 0;           // size of the file
  std::vector<StoredArray> arrays;
};

// A version of the data: the first `shards` shards of the index, as they are now. Appending adds
// shards and a version; forgetting rewrites shards of all versions, with the same numbering and
// lengths, and adds a version of the same shards.
struct DatasetVersion {
  int number = 1;
  std::string kind;            // "import", "append" or "forget"
  int64_t created_micros = 0;  // Unix time
  int64_t shards = 0;
  int64_t interactions = 0;  // added; of "forget": made blank
  // Content digests this version has had: the last one is now's, each earlier one ended with a
  // forget.
  std::vector<std::string> digests;
};

class Dataset {
 public:
  // Reads and validates index.json; throws DataError naming the file and what is wrong (ConfigError
  // when DIR has no index.json, or no such version). `version` 0: the newest.
  static Dataset Open(const std::filesystem::path& directory, int version = 0);

  const std::filesystem::path& directory() const { return directory_; }
  int version() const { return version_; }
  const std::vector<DatasetVersion>& history() const { return history_; }  // all versions
  // Whether `content_digest` was this version's before something in it was forgotten. Sample
  // numbers are the same then.
  bool HeldBeforeForgetting(const std::string& content_digest) const;
  int64_t vocab_size() const { return vocab_size_; }
  const std::string& tokenizer_digest() const { return tokenizer_digest_; }
  const std::string& template_digest() const { return template_digest_; }
  const std::string& content_digest() const {
    return content_digest_;
  }  // over all shards, of this version
  std::filesystem::path tokenizer_path() const { return directory_ / "tokenizer.model"; }
  const std::vector<ShardEntry>& shards() const { return shards_; }
  std::vector<ShardEntry> ShardsOf(const std::string& split) const;

 private:
  std::filesystem::path directory_;
  int version_ = 1;
  std::vector<DatasetVersion> history_;
  int64_t vocab_size_ = 0;
  std::string tokenizer_digest_, template_digest_, content_digest_;
  std::vector<ShardEntry> shards_;
};

}  // namespace moat::data
