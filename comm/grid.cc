// Cutting the world along the axes of the grid.
#include "comm/grid.h"

namespace moat::comm {

GridCommunicators MakeGrid(Communicator& world, const parallel::ProcessGrid& grid) {
  MOAT_CHECK(grid.size() == world.size(), "the grid must hold all ranks of the world");
  GridCommunicators made;
  made.data = world.Group("data", grid.DataGroup(world.rank()));
  made.tensor = world.Group("tensor", grid.TensorGroup(world.rank()));
  return made;
}

bool LeadsNode(const Communicator& world) {
  const Member& me = world.members()[static_cast<size_t>(world.rank())];
  return me.world_rank == me.node;
}

std::unique_ptr<Communicator> NodeGroup(Communicator& world) {
  const std::vector<Member>& members = world.members();
  std::vector<int> ranks;
  for (int r = 0; r < world.size(); ++r) {
    if (members[static_cast<size_t>(r)].node == members[static_cast<size_t>(world.rank())].node) {
      ranks.push_back(r);
    }
  }
  return world.Group("node", ranks);
}

}  // namespace moat::comm
