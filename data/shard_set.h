// Encodes interactions with all threads and writes them, in order, to the shards of their splits.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/chat_template.h"
#include "data/interaction.h"
#include "data/ordered_pool.h"
#include "data/shard_writer.h"
#include "data/tokenizer.h"

namespace moat::data {

// In the order in which an import's shards stand in the index.
inline constexpr std::array<const char*, 3> kSplitNames = {"train", "validation", "test"};
inline constexpr size_t kTrain = 0, kValidation = 1, kTest = 2;

class ShardSet {
 public:
  // What was sealed before, by an import that was interrupted; and who hears of each further one.
  struct Resume {
    std::vector<ShardEntry> sealed;
    std::function<void(const std::vector<ShardEntry>&)> on_sealed;  // all so far; may be empty
  };

  // Shards go to DIR/shards/<split>-00000.h5 and hold at most `shard_tokens` tokens, unless one
  // interaction is larger. `key` hashes ids and users.
  ShardSet(std::filesystem::path directory, const Tokenizer& tokenizer, std::string key,
           int64_t shard_tokens, int threads, Resume resume);

  // Interactions keep the order in which they are added, per split. Those that are in a sealed
  // shard already are passed over. `split` is an index into kSplitNames.
  void Add(Interaction interaction, size_t split);

  // Encodes and seals what is left. All shards, split by split.
  std::vector<ShardEntry> Finish();

 private:
  struct Output {
    ShardWriter writer;
    std::vector<ShardEntry> sealed;
    int64_t to_skip = 0;  // interactions in sealed shards of the interrupted import
  };

  // An interaction on its way into a shard.
  struct Record {
    Interaction interaction;
    size_t split = 0;
    EncodedInteraction encoded;
    StoredIds ids;
  };

  void Encode(Record& record) const;
  void Write(const Record& record);
  void Seal(size_t split);
  std::vector<ShardEntry> Sealed() const;

  std::filesystem::path directory_;
  const Tokenizer& tokenizer_;
  std::string key_;
  int64_t shard_tokens_;
  std::function<void(const std::vector<ShardEntry>&)> on_sealed_;
  std::vector<Output> outputs_;  // by split
  OrderedPool<Record> pool_;     // last: its threads use all of the above
};

}  // namespace moat::data
