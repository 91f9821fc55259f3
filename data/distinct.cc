// Counting distinct hashes.
#include "data/distinct.h"

#include <cmath>
#include <iterator>

namespace moat::data {

void DistinctCount::Add(uint64_t hash) {
  if (smallest_.size() == kExact && hash > *smallest_.rbegin()) {
    exact_ = false;
    return;
  }
  if (!smallest_.insert(hash).second || smallest_.size() <= kExact) return;
  smallest_.erase(std::prev(smallest_.end()));
  exact_ = false;
}

void DistinctCount::Add(const DistinctCount& other) {
  for (const uint64_t hash : other.smallest_) Add(hash);
  exact_ = exact_ && other.exact_;
}

int64_t DistinctCount::count() const {
  if (exact_) return static_cast<int64_t>(smallest_.size());
  const double share = std::ldexp(static_cast<double>(*smallest_.rbegin()), -64);
  return std::llround(static_cast<double>(kExact - 1) / share);
}

}  // namespace moat::data
