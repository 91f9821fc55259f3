// The communicators of a process grid, and of its nodes.
#pragma once

#include <memory>

#include "comm/communicator.h"
#include "parallel/process_grid.h"

namespace moat::comm {

struct GridCommunicators {
  std::unique_ptr<Communicator> data;    // same tp_index; rank() is the dp_index
  std::unique_ptr<Communicator> tensor;  // same dp_index; rank() is the tp_index
};

// Collective over `world`, on any backend. REQUIRES: grid.size() == world.size().
GridCommunicators MakeGrid(Communicator& world, const parallel::ProcessGrid& grid);

// Whether this rank is the first of its node (Member::node).
bool LeadsNode(const Communicator& world);

// Collective over `world`: this rank's node (Member::node), in the order of the world.
std::unique_ptr<Communicator> NodeGroup(Communicator& world);

}  // namespace moat::comm
