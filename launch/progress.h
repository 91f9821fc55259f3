// How far a run is that has not ended, and what it waits for, in a sentence.
#pragma once

#include <string>

#include "launch/run_list.h"
#include "rundir/layout.h"

namespace moat::launch {

// Of a queued run its job, where it has one. Of a running one the step and loss that `run` has, and
// by the boards of the ranks on this node what they are doing, and which of them others wait for.
std::string Progress(const RunSummary& run, const rundir::RunLayout& layout);

}  // namespace moat::launch
