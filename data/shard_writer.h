// Writes one shard: interactions are collected in memory, then sealed into a file in one go.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/chat_template.h"
#include "data/dataset.h"
#include "data/interaction.h"
#include "data/shard_format.h"

namespace moat::data {

// What every shard of a data set agrees on.
struct ShardIdentity {
  int64_t vocab_size = 0;
  std::string tokenizer_digest;
  std::string template_digest;
};

// The 64-bit numbers stored for an interaction.
struct StoredIds {
  uint64_t id = 0;
  uint64_t user = 0;     // equal to id: unknown
  uint64_t request = 0;  // 0: none
};

class ShardWriter {
 public:
  explicit ShardWriter(ShardIdentity identity);

  // REQUIRES: `encoded` is `interaction` encoded with the identity's tokenizer, and has segments.
  void Add(const Interaction& interaction, const EncodedInteraction& encoded, const StoredIds& ids);

  int64_t interactions() const { return interactions_; }
  int64_t tokens() const { return tokens_; }

  // Writes `directory`/`file` durably (temporary name, fsync, rename, fsync of its directory) and
  // says what it holds, then is empty again. Throws StorageError; nothing is left under the name.
  // REQUIRES: interactions() > 0.
  ShardEntry Seal(const std::filesystem::path& directory, const std::string& file,
                  const std::string& split);

 private:
  template <typename T>
  void Append(shard::Array array, T value);
  void Clear();

  ShardIdentity identity_;
  int64_t interactions_ = 0, segments_ = 0, tokens_ = 0;
  std::array<std::vector<uint8_t>, shard::kArrays> bytes_;
};

// The content digest of a shard: SHA-256 over, per dataset of shard::kContent, its name, a zero
// byte, its dtype's name, a zero byte, its count as u64 and its bytes (all little-endian).
class ContentDigest {
 public:
  ContentDigest();
  ~ContentDigest();
  void Start(shard::Array array, core::DType dtype, int64_t count);
  void Update(const void* data, size_t size);
  std::string Finish();  // hex

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moat::data
