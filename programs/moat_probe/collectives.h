// How fast this group's ranks exchange memory, and whether what arrives is right.
#pragma once

#include <string>
#include <vector>

#include "comm/communicator.h"

namespace moat::programs {

struct CollectiveRate {
  std::string what;    // "all_reduce"
  core::Bytes bytes;   // of a rank's buffer
  double seconds = 0;  // the best round, from a barrier to the last rank's end
};

struct CollectiveRates {
  int ranks = 1;
  double barrier_seconds = 0;
  std::vector<CollectiveRate> rates;
};

// Collective. `stream` says whose memory. Throws ExitCode::kNode when a sum is wrong.
CollectiveRates MeasureCollectives(comm::Communicator& group, tensor::Stream& stream);

}  // namespace moat::programs
