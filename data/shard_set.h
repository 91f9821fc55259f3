// Encodes interactions with all threads and writes them, in order, to the shards of their splits.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/interaction.h"
#include "data/shard_writer.h"
#include "data/tokenizer.h"

namespace moat::data {

class ShardSet {
 public:
  // Shards go to DIR/shards/<split>-00000.h5 and hold at most `shard_tokens` tokens, unless one
  // interaction is larger. `key` hashes ids and users.
  ShardSet(std::filesystem::path directory, const Tokenizer& tokenizer, std::string key,
           int64_t shard_tokens, int threads);

  // Interactions keep the order in which they are added, per split: "train", "validation", "test".
  void Add(Interaction interaction, const std::string& split);

  // Encodes and seals what is left. Training shards first, then validation, then test.
  std::vector<ShardEntry> Finish();

 private:
  struct Pending {
    Interaction interaction;
    std::string split;
    EncodedInteraction encoded;
  };
  struct Output {
    ShardWriter writer;
    std::vector<ShardEntry> sealed;
  };

  void Flush();
  void EncodePending();
  void Write(const Pending& pending);
  void Seal(const std::string& split);

  std::filesystem::path directory_;
  const Tokenizer& tokenizer_;
  std::string key_;
  int64_t shard_tokens_;
  int threads_;
  std::vector<Pending> pending_;
  int64_t pending_bytes_ = 0;
  std::map<std::string, Output> outputs_;  // by split
};

}  // namespace moat::data
