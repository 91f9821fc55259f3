// A run as an MPIJob of Kubernetes' MPI operator. Pure: the same job gives the same bytes.
#pragma once

#include <string>

#include "launch/job_spec.h"

namespace moat::launch {

// The manifest: workers that wait for mpirun, and a launcher that runs `moat launch` over them by
// the operator's hostfile, with the flags as they were given. The volume claim in it, moat-work,
// holds the working directory with runs and data. Throws ConfigError where the sizes of the job do
// not fit each other, or no --container names an image.
std::string MpiJob(const JobSpec& job);

}  // namespace moat::launch
