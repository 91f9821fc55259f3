// SampleStream: the training samples of one data set or of several mixed by weight, as a pure
// function of (data versions, weights, split, packing, seed, sample number).
//
// The stream never knows ranks: it is told which samples to give. Step k of a run takes samples [k
// * global_batch, (k+1) * global_batch); sample number n lies in epoch n / samples_per_epoch(), at
// place n % samples_per_epoch() of that epoch's order. Its whole state is n. Of several data sets,
// mixture.h says which one n is of and as which number of it; then that one's own epoch and place
// follow in the same way, so that each begins its next epoch when it is through.
//
// Packing: a fixed block is kBlockInteractions consecutive interactions of one shard of the split,
// packed into rows (packing.h) in a way that depends on (data version, block, packing) only, not on
// seed or epoch. Reading: shards are read in windows of a few MiB (windows.h), of which the last
// few stay in memory. Order within an epoch: sample_order.h. A process that reads consecutive
// samples, or every k-th few of them, reads and checks every window it needs once per epoch.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/units.h"
#include "data/batch.h"
#include "data/dataset.h"
#include "data/mixture.h"
#include "data/packing.h"
#include "data/tokenizer.h"

namespace moat::data {

// What a target token counts: the weight of its segment times that of its segment's role. Role
// tokens and <s> weigh 0 as targets; the <|end|> of a segment weighs as its text.
using RoleWeights = std::array<float, kRoles>;           // by Role
inline constexpr RoleWeights kScored = {0, 0, 1, 0, 1};  // assistant and text

struct StreamOptions {
  Packing packing;
  uint64_t seed = 1;
  RoleWeights roles = kScored;
};

class SampleStream {
 public:
  // `split` is "train", "validation" or "test". Throws DataError when the split is empty or a shard
  // does not hold what the index says.
  SampleStream(const Dataset& dataset, const std::string& split, const StreamOptions& options);
  // Several, mixed by `weights`: empty, by their numbers of samples, so that samples_per_epoch()
  // samples from a multiple of it on are each sample of each once; else one for each data set, as
  // Billionths (mixture.h) wants them. One data set alone is not changed by its weight.
  SampleStream(const std::vector<Dataset>& datasets, const std::vector<double>& weights,
               const std::string& split, const StreamOptions& options);
  SampleStream(SampleStream&&) noexcept;
  ~SampleStream();

  int64_t samples_per_epoch() const;                 // of all data sets together
  int64_t samples_per_epoch_of(int32_t part) const;  // of the data set with this index
  const Mixture& mixture() const;
  // At most so much of the shards is kept in memory.
  core::Bytes window_bytes() const;
  // Rows for the given global sample numbers, in that order. CRCs are checked on every byte read.
  // Thread-safe.
  Batch Read(const std::vector<uint64_t>& sample_numbers) const;
  // As Read, in natural (unshuffled) order of places of one epoch: for evaluation. REQUIRES: one
  // data set.
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
