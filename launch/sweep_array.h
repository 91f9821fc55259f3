// moat sweep --on=slurm: the missing runs of a sweep become the tasks of one array of Slurm.
//
//   runs/NAME/sweep.tsv sweep.flags        the plan, as of a sweep on this machine (sweep.h)
//   runs/NAME/launch/job.sbatch            the newest array's script; programs/: what it starts
//   runs/NAME/launch/job-ARRAY_TASK.out    what a task printed
//   runs/NAME/cell-000-seed-1/             a run, with what moat launch --on=slurm keeps of one
//
// A task's number is its run's. No record is kept of what was submitted: a run is missing when its
// outcome.json does not say done, nobody holds its lease, and the queue has no task of its number.
// So a driver that was killed anywhere is started again and submits what is missing.
#pragma once

#include <string>

#include "configs/command_line.h"
#include "launch/job_spec.h"

namespace moat::launch {

// The script that SubmitSweep would submit now; "" where nothing is missing. Changes nothing.
// `here` has everything but flags and config, here and below.
std::string SweepScript(const configs::CommandLine& line, const JobSpec& here);

// Submits what is missing and prints the array's number. With --wait stays until no run has a job,
// tells how they get on, and returns 0 when all are done, else the exit code of the first run, by
// number, that is not; without returns 0. Throws ConfigError as RunSweep and SubmitRun do, for
// cells that are not of one size, and for more runs than the cluster's arrays may have tasks.
int SubmitSweep(const configs::CommandLine& line, const JobSpec& here);

}  // namespace moat::launch
