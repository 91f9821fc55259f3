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

}  // namespace moat::comm
