// Asking a run, or all runs of a sweep, to save and end.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "rundir/layout.h"

namespace moat::launch {

// Who is asked: a process on this host (a run's supervisor, the driver of a sweep) by INT; else the
// jobs of Slurm, of which those that are pending leave the queue and the others get INT by their
// scripts. Either way a run that was started ends with 78, and does not come back.
class Stop {
 public:
  // `name`: a run or a sweep of `run_root`. Throws ConfigError where there is neither.
  Stop(const std::string& run_root, const std::string& name);

  // Asks, and returns who was asked: "process 4711 on host n1", "job 12 (running)", "5 jobs".
  // Throws ConfigError when nobody works on it, or a process on another host does.
  std::string Ask();

  // Waits until nobody works on it any more; jobs that came meanwhile are asked, too. false:
  // somebody still does after `seconds`.
  bool WaitUntilOver(double seconds);

 private:
  bool AskProcess(std::string* who) const;
  size_t AskJobs(std::string* who);

  std::string name_;
  rundir::RunLayout home_;               // of the run, or of the sweep; absolute
  std::vector<rundir::RunLayout> runs_;  // absolute
  bool submitted_ = false;               // some time, to Slurm
  std::set<std::string> asked_;          // jobs that got INT: a second one would kill
};

}  // namespace moat::launch
