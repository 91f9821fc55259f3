// Ranks on nodes.
#include "launch/placement.h"

#include <string>

#include "core/error.h"

namespace moat::launch {

Placement Place(const configs::LaunchConfig& config) {
  const int tp = config.train.tp;
  Placement placement{config.nodes, config.ranks_per_node, config.train.dp};
  if (placement.ranks_per_node == 0 && placement.dp == -1) {
    placement.ranks_per_node = config.slurm.gpus_per_node > 0 ? config.slurm.gpus_per_node : tp;
  } else if (placement.ranks_per_node == 0) {
    placement.ranks_per_node = placement.dp * tp / placement.nodes;
  }
  if (placement.dp == -1) placement.dp = placement.ranks() / tp;
  if (placement.dp * tp != placement.ranks() || placement.ranks_per_node == 0) {
    const std::string equation =
        "nodes " + std::to_string(config.nodes) + " x ranks_per_node " +
        (config.ranks_per_node == 0 ? "?" : std::to_string(config.ranks_per_node)) + " = dp " +
        (config.train.dp == -1 ? "?" : std::to_string(config.train.dp)) + " x tp " +
        std::to_string(tp);
    throw core::ConfigError("--nodes, --ranks_per_node, --dp and --tp do not fit each other: " +
                            equation + " must hold in whole numbers");
  }
  if (placement.nodes > 1 && placement.ranks_per_node % tp != 0) {
    throw core::ConfigError("--tp=" + std::to_string(tp) + " does not divide the " +
                            std::to_string(placement.ranks_per_node) +
                            " ranks of a node: a tensor group stays within one node; change --tp "
                            "or --ranks_per_node");
  }
  return placement;
}

int FewestNodes(const configs::LaunchConfig& config) {
  return config.min_nodes > 0 ? config.min_nodes : config.nodes;
}

bool LeavesThisNode(const configs::LaunchConfig& config) {
  return config.nodes > 1 || !config.hostfile.empty();
}

}  // namespace moat::launch
