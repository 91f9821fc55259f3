// The supervisor: starts the ranks of a run, watches them, and records how the attempt ended.
//
// It owns the run directory while it runs: the lease, run.flags, outcome.json and the log of the
// node. docs/exit-codes.md says what its exit codes mean; signals:
//   TERM, USR1, USR2, HUP   the ranks are told to save and end; the run reports 75
//   INT                     the same, but the run reports 78 (moat stop sends it)
//   a second one            everything is killed at once; exits 128 + n
// A run that has not ended --grace seconds after the first is killed. If the supervisor itself is
// killed, the kernel kills mpirun, and then the ranks (core/orphan.h).
#pragma once

#include "launch/job_spec.h"

namespace moat::launch {

// Runs attempts until one of them ends the run (launch/restart.h), and returns the exit code of the
// program. job.attempt is ignored: the run directory knows. Throws ConfigError, with nothing
// changed, when the data set is missing, the run is in use, or the directory holds a run of another
// configuration. Call from the main thread, before other threads start: it blocks signals.
int Run(const JobSpec& job);

}  // namespace moat::launch
