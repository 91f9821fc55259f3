// Says how far long work is, every few seconds: count, rate, bytes, time to go.
#pragma once

#include <cstdint>
#include <string>

#include "core/clock.h"

namespace moat::data {

class Progress {
 public:
  // `verb` as in "read". Of the totals, those that are known; 0: not.
  Progress(std::string verb, int64_t total_bytes, int64_t total_interactions = 0)
      : verb_(std::move(verb)), total_bytes_(total_bytes), total_(total_interactions) {}

  // What is done so far. Cheap enough for every interaction.
  void Report(int64_t interactions, int64_t bytes);

 private:
  std::string verb_;
  int64_t total_bytes_, total_;
  double start_ = core::MonotonicSeconds();
  double last_ = start_;
};

}  // namespace moat::data
