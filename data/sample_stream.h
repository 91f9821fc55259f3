// SampleStream: the training samples of a data set, as a pure function of (data version, split,
// seq_len, seed, sample number).
//
// The stream never knows ranks: it is told which samples to give. Step k of a run takes samples [k
// * global_batch, (k+1) * global_batch); sample number n lies in epoch n / samples_per_epoch(), at
// place n % samples_per_epoch() of that epoch's order. Its whole state is n.
//
// Packing: a fixed block is kBlockInteractions consecutive interactions of one shard of the split.
// Its interactions (longer ones split into pieces of at most seq_len slots, packing.h) are packed
// into rows in a way that depends on (data version, block, seq_len) only, not on seed or epoch.
// Order within an epoch (sample_order.h): blocks are permuted by (seed, epoch), windows of
// kWindowBlocks permuted blocks have their samples permuted.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/batch.h"
#include "data/dataset.h"

namespace moat::data {

// Which roles carry loss; the weight of a target token is its segment's weight if its role is
// listed, else 0. Role tokens and <s> weigh 0 as targets; the <|end|> of a segment weighs as its
// text.
struct LossRoles {
  bool system = false, user = false, assistant = true, tool = false, text = true;
};

struct StreamOptions {
  int64_t seq_len = 256;
  uint64_t seed = 1;
  LossRoles roles;
};

class SampleStream {
 public:
  // `split` is "train" or "validation". Throws DataError when the split is empty or a shard does
  // not hold what the index says.
  SampleStream(const Dataset& dataset, const std::string& split, const StreamOptions& options);
  ~SampleStream();

  int64_t samples_per_epoch() const;
  // Rows for the given global sample numbers, in that order. CRCs are checked on every block read.
  // Thread-safe.
  Batch Read(const std::vector<uint64_t>& sample_numbers) const;
  // As Read, in natural (unshuffled) order of places of one epoch: for evaluation.
  Batch ReadInOrder(const std::vector<uint64_t>& places) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Reads ahead in one thread: the caller names the micro-batches it will want, in order, and takes
// them in that order.
class Prefetcher {
 public:
  // `plan(i)` gives the sample numbers of the i-th micro-batch this rank will take, from 0, without
  // end.
  Prefetcher(const SampleStream& stream, std::function<std::vector<uint64_t>(int64_t)> plan,
             int depth = 4);
  ~Prefetcher();
  Batch Next();                 // waits for the next; rethrows what the reading thread threw
  double wait_seconds() const;  // total time Next() waited

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moat::data
