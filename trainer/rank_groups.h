// The groups of ranks a run is trained by.
#pragma once

#include "comm/communicator.h"

namespace moat::trainer {

// rank of world = dp_index * tp + tp_index (parallel/process_grid.h). Lent; all outlive the run.
struct RankGroups {
  comm::Communicator& world;
  comm::Communicator& data;    // same tp_index: gradients are summed here
  comm::Communicator& tensor;  // same dp_index: together they hold one model
};

}  // namespace moat::trainer
