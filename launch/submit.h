// moat launch --on=slurm: a run becomes a job, once.
#pragma once

#include <string>
#include <vector>

#include "launch/job_spec.h"
#include "launch/run_list.h"

namespace moat::launch {

// Submits the run's script (slurm_script.h), unless a job of the run is queued or running already,
// and prints its number. With --wait returns the run's exit code once it has ended, else 0. The
// outcome says queued from before sbatch is called; where sbatch refuses it is what it was.
// Throws ConfigError as launch::Run does, and when Slurm refuses the job or does not answer.
int SubmitRun(const JobSpec& job);

// Adds what the queue says to those of `runs` that were submitted and are not done; one that says
// queued and has no job any more is lost. Without an answer from Slurm they stay as they are.
void AddJobs(const std::string& run_root, std::vector<RunSummary>* runs);

}  // namespace moat::launch
