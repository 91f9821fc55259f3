// Encodes interactions with all threads and writes them, in order, to the shards of their splits.
#pragma once

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
#include "data/split.h"
#include "data/tokenizer.h"

namespace moat::data {

class ShardSet {
 public:
  // What was sealed before, by an import that was interrupted; and who hears of each further one.
  struct Resume {
    std::vector<ShardEntry> sealed;
    std::function<void(const std::vector<ShardEntry>&)> on_sealed;  // all so far; may be empty
    std::vector<ShardEntry> earlier;  // of the data set that is added to: names go on after them
  };

  // Shards go to DIR/shards/<split>-00000.h5 and hold at most `shard_tokens` tokens, unless one
  // interaction is larger. `key` hashes ids and users.
  ShardSet(std::filesystem::path directory, const Tokenizer& tokenizer, std::string key,
           int64_t shard_tokens, int threads, Resume resume);

  // Interactions keep the order in which they are added, per split. Those that are in a sealed
  // shard already are passed over. REQUIRES: not Side::kLeftOut.
  void Add(Interaction interaction, Side side);

  // Encodes and seals what is left. All new shards: training's first, then validation's, then
  // test's.
  std::vector<ShardEntry> Finish();

 private:
  struct Output {
    ShardWriter writer;
    std::vector<ShardEntry> sealed;
    int64_t to_skip = 0;  // interactions in sealed shards of the interrupted import
    size_t earlier = 0;   // shards
  };

  // An interaction on its way into a shard.
  struct Record {
    Interaction interaction;
    Side side = Side::kTrain;
    EncodedInteraction encoded;
    StoredIds ids;
  };

  void Encode(Record& record) const;
  void Write(const Record& record);
  Output& OutputOf(Side side) { return outputs_[static_cast<size_t>(side)]; }
  void Seal(Side side);
  std::vector<ShardEntry> Sealed() const;

  std::filesystem::path directory_;
  const Tokenizer& tokenizer_;
  std::string key_;
  int64_t shard_tokens_;
  std::function<void(const std::vector<ShardEntry>&)> on_sealed_;
  std::vector<Output> outputs_;  // by side
  OrderedPool<Record> pool_;     // last: its threads use all of the above
};

}  // namespace moat::data
