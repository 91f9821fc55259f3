// How many ranks a job has and how many of them each node. Pure.
#pragma once

#include "configs/launch_config.h"

namespace moat::launch {

struct Placement {
  int nodes = 1;
  int ranks_per_node = 1;
  int dp = 1;
  int ranks() const { return nodes * ranks_per_node; }
};

// Fills in what --dp=-1 and --ranks_per_node=0 leave open. Throws ConfigError, with the whole
// equation, where nodes, ranks per node, dp and tp do not fit each other, or a tensor group would
// span two nodes.
Placement Place(const configs::LaunchConfig& config);

// That the run goes on with when others are lost: --min_nodes, else all.
int FewestNodes(const configs::LaunchConfig& config);

// Whether ranks may be on other nodes than this one.
bool LeavesThisNode(const configs::LaunchConfig& config);

}  // namespace moat::launch
