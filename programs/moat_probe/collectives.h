// How fast this group's ranks exchange memory, and whether what arrives is right.
#pragma once

#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/mpi.h"

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

// Collective over all ranks: this rank's best rate, 1e9 bytes a second, of sums of 4 MiB with its
// neighbour on the node before and on the node behind (on one node: with the rank before and
// behind), all pairs at the same time. A node with a bad link is slow with both. 0: there is one
// rank.
double MeasurePairs(comm::MpiSession& session, comm::Communicator& world);

}  // namespace moat::programs
