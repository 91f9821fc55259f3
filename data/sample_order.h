// The order of samples: where each sample number's row is, as a pure function of (seed, epoch).
//
// Per epoch the windows are permuted, and the rows of every kGroupWindows neighbours in that order
// are permuted together. So reading is sequential within windows, a process that keeps a group in
// memory reads each window once per epoch, and a split of at most kGroupWindows windows (16 MiB
// each) is shuffled without any structure left. Of a larger split every epoch draws other groups;
// two rows of one window are always within a group of each other, and rows of one block are always
// packed alike.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace moat::data {

struct SamplePlace {
  int64_t window = 0;
  int64_t row = 0;  // within the window

  bool operator==(const SamplePlace&) const = default;
};

class SampleOrder {
 public:
  static constexpr int64_t kGroupWindows = 4;

  // `rows[w]` rows in window w, each at least 1.
  SampleOrder(const std::vector<int64_t>& rows, uint64_t seed);

  int64_t samples_per_epoch() const { return natural_.back(); }
  SamplePlace Shuffled(uint64_t sample_number) const;  // any number; thread-safe
  SamplePlace Natural(int64_t place) const;            // REQUIRES: 0 <= place < samples_per_epoch()

 private:
  struct Epoch {
    uint64_t number = 0;
    std::vector<int64_t> windows;  // in this epoch's order
    std::vector<int64_t> starts;   // [windows + 1] first place of each in that order
  };
  std::shared_ptr<const Epoch> EpochOf(uint64_t number) const;

  std::vector<int64_t> natural_;  // [windows + 1] first place of each window
  uint64_t seed_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Epoch> recent_;  // the epoch asked for last
};

}  // namespace moat::data
