// The batch script of a run, or of the missing runs of a sweep, as sbatch takes it. Pure: the same
// job gives the same bytes.
//
// The script starts `moat launch --on=allocation` with the flags that were snapshotted in the run's
// directory, hands it the scheduler's signals, and answers its exit code: 75 is requeued, 69
// submitted again without the nodes that failed, everything else ends the job with that code. Of an
// array each task does so for its own run, as if it were alone. docs/launching.md, docs/sweeps.md.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "launch/job_spec.h"
#include "rundir/layout.h"

namespace moat::launch {

// `job.program` is the moat-train that the run keeps to, with moat beside it. Throws ConfigError
// where the sizes of the job do not fit each other, or a path cannot stand in a script.
std::string SlurmScript(const JobSpec& job);

// Runs of a sweep that are submitted together: a task each, whose number is the run's.
struct TaskArray {
  std::filesystem::path directory;  // of the sweep, absolute
  std::vector<int> numbers;         // of the runs in its sweep.tsv, rising
  size_t planned = 0;               // runs that the sweep has
  int parallel = 0;                 // that run at a time; 0: as many as Slurm starts
};

// `job`: one of the runs; all have its size (CheckOneSize). Throws as SlurmScript of a run.
std::string SlurmScript(const JobSpec& job, const TaskArray& array);

// Throws ConfigError, naming both, unless `other` asks Slurm for what `job` does.
void CheckOneSize(const JobSpec& job, const JobSpec& other);

// The run's directory, absolute.
rundir::RunLayout LayoutOfJob(const JobSpec& job);

// The flags of `moat launch` in the job: what was resolved at submission, then what the job is.
std::string SlurmFlags(const JobSpec& job);

// `value` as one word of an #SBATCH line, which knows quotes but no variables.
std::string SbatchQuoted(const std::string& value);

}  // namespace moat::launch
