// Going on without nodes that were lost: on others that the hostfile names, or on fewer
// (--min_nodes) and a smaller grid. Ranks keep their number per node, and samples and sums do not
// depend on the grid.
#pragma once

#include <optional>

#include "launch/job_spec.h"
#include "launch/node_watch.h"
#include "rundir/layout.h"

namespace moat::launch {

// Pure: the launch on as many of `nodes` nodes as it can use, of --min_nodes at least; nullopt
// where no such grid has the micro-batches of the run.
std::optional<configs::LaunchConfig> OnAtMost(const configs::LaunchConfig& config, int nodes);

// Puts the job on as many of `nodes` nodes as it can use; false, and nothing has changed, where it
// needs more.
bool Shrink(int nodes, JobSpec& job);

// After an attempt that missed a peer: the next one leaves out `lost` (null: nobody knows which)
// and, in an allocation, what Slurm has taken from it. Says so, or why not.
void LeaveOutLost(const NodeView* lost, const rundir::RunLayout& layout, JobSpec& job);

}  // namespace moat::launch
