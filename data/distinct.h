// How many different hashes there are, in bounded memory: exact up to kExact, then an estimate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>

namespace moat::data {

// Keeps the smallest kExact hashes. Of more, where the largest kept one lies in the range of all
// says how many there are (Bar-Yossef et al., 2002, "k minimum values"), to about 0.4%.
class DistinctCount {
 public:
  static constexpr size_t kExact = 1 << 16;

  void Add(uint64_t hash);  // REQUIRES: hashes are uniform
  void Add(const DistinctCount& other);

  bool exact() const { return exact_; }
  int64_t count() const;

 private:
  std::set<uint64_t> smallest_;
  bool exact_ = true;
};

}  // namespace moat::data
