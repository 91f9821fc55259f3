// Which program starts the ranks of a job: sites differ in what their Slurm and Open MPI agree on.
#pragma once

#include "launch/job_spec.h"
#include "rundir/layout.h"

namespace moat::launch {

// What was asked for, else what this run remembers (RunLayout::job_starter), else the first of
// mpirun and srun that brings up moat-probe on all ranks, which is then remembered. Throws
// ConfigError with what each said where none does.
configs::Starter ChooseStarter(const JobSpec& job, const rundir::RunLayout& layout);

}  // namespace moat::launch
