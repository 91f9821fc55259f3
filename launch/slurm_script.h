// The batch script of a run, as sbatch takes it. Pure: the same job gives the same bytes.
//
// The script starts `moat launch --on=allocation` with the flags that were snapshotted beside it,
// hands it the scheduler's signals, and answers its exit code: 75 is requeued, 69 submitted again
// without the nodes that failed, everything else ends the job with that code. docs/launching.md.
#pragma once

#include <string>

#include "launch/job_spec.h"
#include "rundir/layout.h"

namespace moat::launch {

// `job.program` is the moat-train that the run keeps to, with moat beside it. Throws ConfigError
// where the sizes of the job do not fit each other, or a path cannot stand in a script.
std::string SlurmScript(const JobSpec& job);

// The run's directory, absolute.
rundir::RunLayout LayoutOfJob(const JobSpec& job);

// The flags of `moat launch` in the job: what was resolved at submission, then what the job is.
std::string SlurmFlags(const JobSpec& job);

// `value` as one word of an #SBATCH line, which knows quotes but no variables.
std::string SbatchQuoted(const std::string& value);

}  // namespace moat::launch
