// Reads a data set's interactions back as an importer gave them, for an append to compare with.
//
// Text comes out of the tokens, which lose nothing. Ids, users and requests are hashes for good. A
// path is what a first system segment says, as the importers of files and histories write it (of a
// dialog it is the system prompt, which is no file's path). Cost: every shard is read and decoded
// once, by one thread; memory holds one window.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/dataset.h"
#include "data/interaction.h"
#include "data/shard_reader.h"
#include "data/split.h"
#include "data/tokenizer.h"
#include "data/windows.h"

namespace moat::data {

struct OldInteraction {
  Interaction interaction;  // path, time and segments
  uint64_t user = 0;        // as in shards; 0: unknown
  Side side = Side::kTrain;
};

class OldInteractions {
 public:
  // In the order of the index's shards. `dataset` must outlive the reader.
  explicit OldInteractions(const Dataset& dataset);

  // The next one that is not a blank; false: there is none. Throws DataError.
  bool Next(OldInteraction* old);

 private:
  bool LoadWindow();

  const Dataset& dataset_;
  Tokenizer tokenizer_;
  size_t next_shard_ = 0, next_window_ = 0;
  std::unique_ptr<ShardReader> reader_;
  std::vector<ShardWindow> windows_;  // of the reader's shard
  StoredInteractions run_;
  StoredKeys keys_;
  int64_t at_ = 0, size_ = 0;  // in the run
};

}  // namespace moat::data
