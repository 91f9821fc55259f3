// Windows are permuted per epoch, then rows inside groups of windows.
#include "data/sample_order.h"

#include <algorithm>

#include "core/error.h"
#include "core/rng.h"

namespace moat::data {
namespace {

std::vector<int64_t> Starts(const std::vector<int64_t>& sizes) {
  std::vector<int64_t> starts = {0};
  for (const int64_t size : sizes) starts.push_back(starts.back() + size);
  return starts;
}

// The index of the range that holds `place`, given the starts of ranges and the end.
int64_t RangeOf(const std::vector<int64_t>& starts, int64_t place) {
  return std::upper_bound(starts.begin(), starts.end(), place) - starts.begin() - 1;
}

}  // namespace

SampleOrder::SampleOrder(const std::vector<int64_t>& rows, uint64_t seed)
    : natural_(Starts(rows)), seed_(seed) {
  MOAT_CHECK(samples_per_epoch() > 0, "there are samples");
}

std::shared_ptr<const SampleOrder::Epoch> SampleOrder::EpochOf(uint64_t number) const {
  const std::lock_guard lock(mutex_);
  if (recent_ && recent_->number == number) return recent_;
  auto epoch = std::make_shared<Epoch>();
  epoch->number = number;
  const uint64_t key = core::RandomBits(core::KeyFromName(seed_, "window order"), number);
  const uint64_t windows = natural_.size() - 1;
  std::vector<int64_t> sizes;
  for (uint64_t i = 0; i < windows; ++i) {
    const uint64_t window = core::Permute(key, windows, i);
    epoch->windows.push_back(static_cast<int64_t>(window));
    sizes.push_back(natural_[window + 1] - natural_[window]);
  }
  epoch->starts = Starts(sizes);
  recent_ = epoch;
  return epoch;
}

SamplePlace SampleOrder::Shuffled(uint64_t sample_number) const {
  const auto size = static_cast<uint64_t>(samples_per_epoch());
  const uint64_t number = sample_number / size;
  const auto place = static_cast<int64_t>(sample_number % size);
  const std::shared_ptr<const Epoch> epoch = EpochOf(number);
  const int64_t group = RangeOf(epoch->starts, place) / kGroupWindows;
  const auto windows = static_cast<int64_t>(epoch->windows.size());
  const int64_t begin = epoch->starts[static_cast<size_t>(group * kGroupWindows)];
  const int64_t end =
      epoch->starts[static_cast<size_t>(std::min(windows, (group + 1) * kGroupWindows))];
  const uint64_t key = core::RandomBits(core::KeyFromName(seed_, "row order") ^ core::Mix64(number),
                                        static_cast<uint64_t>(group));
  const int64_t shuffled =
      begin + static_cast<int64_t>(core::Permute(key, static_cast<uint64_t>(end - begin),
                                                 static_cast<uint64_t>(place - begin)));
  const int64_t position = RangeOf(epoch->starts, shuffled);
  return {epoch->windows[static_cast<size_t>(position)],
          shuffled - epoch->starts[static_cast<size_t>(position)]};
}

SamplePlace SampleOrder::Natural(int64_t place) const {
  MOAT_CHECK(place >= 0 && place < samples_per_epoch(), "a place of the epoch");
  const int64_t window = RangeOf(natural_, place);
  return {window, place - natural_[static_cast<size_t>(window)]};
}

}  // namespace moat::data
