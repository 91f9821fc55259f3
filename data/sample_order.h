// The order of samples: where each sample number's row is, as a pure function of (seed, epoch).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace moat::data {

struct SamplePlace {
  int64_t block = 0;
  int64_t row = 0;  // within the block

  bool operator==(const SamplePlace&) const = default;
};

class SampleOrder {
 public:
  // This many blocks, neighbours in the epoch's order, have their samples shuffled together.
  static constexpr int64_t kWindowBlocks = 64;

  // `samples[b]` rows in block b, each at least 1.
  SampleOrder(std::vector<int64_t> samples, uint64_t seed);

  int64_t samples_per_epoch() const { return natural_.back(); }
  SamplePlace Shuffled(uint64_t sample_number) const;  // any number; thread-safe
  SamplePlace Natural(int64_t place) const;            // REQUIRES: 0 <= place < samples_per_epoch()

 private:
  struct Epoch {
    uint64_t number = 0;
    std::vector<int64_t> blocks;  // in this epoch's order
    std::vector<int64_t> starts;  // [blocks + 1] first place of each in that order
  };
  std::shared_ptr<const Epoch> EpochOf(uint64_t number) const;

  std::vector<int64_t> samples_;
  std::vector<int64_t> natural_;  // [blocks + 1] first place of each block
  uint64_t seed_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Epoch> recent_;  // the epoch asked for last
};

}  // namespace moat::data
