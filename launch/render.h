// From a job to the command that starts it: pure, so that tests and --dry_run see what will run.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "launch/job_spec.h"

namespace moat::launch {

struct LaunchPlan {
  int ranks = 1;
  int threads = 1;                         // per rank
  std::vector<std::string> argv;           // argv[0] is looked up in PATH
  std::map<std::string, std::string> env;  // added to the environment
  std::vector<int> blocked;                // signals that argv[0] does not hear
  std::vector<std::string> notes;          // choices made for the user, one sentence each
};

// Throws ConfigError where the sizes of the job do not fit each other (launch/placement.h,
// canonical ways, name of the run).
LaunchPlan Render(const JobSpec& job);
// Throws ConfigError where nodes and grid do not fit each other or the run's micro-batches.
void CheckGrid(const configs::LaunchConfig& config);

// As Render starts the trainer, but another of moat's programs, which lies beside it.
LaunchPlan RenderProgram(const JobSpec& job, const std::string& name,
                         const std::vector<std::string>& arguments);

std::string ToText(const LaunchPlan& plan);  // notes as comments, then a line a shell takes
std::string ToJson(const LaunchPlan& plan);

// `word` as one word of a POSIX shell.
std::string ShellQuoted(const std::string& word);

}  // namespace moat::launch
