// moat launch --on=allocation: the supervisor inside a job of Slurm.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launch/job_spec.h"
#include "rundir/layout.h"
#include "rundir/outcome.h"

namespace moat::launch {

// What the environment of a job says.
struct Allocation {
  std::string job;                 // "12", of an array's task "12_3"
  int restarts = 0;                // of this job, by requeues
  std::vector<std::string> nodes;  // the first is this one
  int cores = 1;                   // of this node, for this job
};

// Throws ConfigError outside a job.
Allocation AllocationFromEnvironment();

// As launch::Run, in the job that this process runs in: tries what starts ranks here (and remembers
// it in the run directory), turns a cancelled job's 75 into 78, that of the last of --legs and of
// the third in a row without a new checkpoint into 93, and for 69 notes which nodes to keep away
// from. Every leg is a line in RunLayout::job_legs.
int RunInAllocation(const JobSpec& job);

// One line of RunLayout::job_legs.
struct Leg {
  std::string job;
  int restarts = 0;
  int exit_code = 0;
  int64_t before = -1;  // newest step that was saved, -1: none
  int64_t after = -1;
};
void AppendLeg(const rundir::RunLayout& layout, const Leg& leg);

// Lines that are torn count for nothing, here and below.
int LegsOf(const rundir::RunLayout& layout);
// Legs at the end that saved nothing new.
int LegsWithoutProgress(const rundir::RunLayout& layout);

// The node that `failure` happened on: the host, if it is one of the nodes, else the rank's, by the
// blocks in which ranks are put on nodes.
std::optional<std::string> NodeOf(const rundir::FirstFailure& failure,
                                  const std::vector<std::string>& nodes, int ranks_per_node);

}  // namespace moat::launch
