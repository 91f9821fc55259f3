// How threads of OpenMP wait for each other: they spin for a moment, then sleep.
//
// A kernel of a small model takes less than a millisecond, and each ends with its threads waiting
// for the last of them. GCC's default is to spin for milliseconds. On a machine with other work
// that keeps the late thread off the core that the waiting one burns. Never to spin costs a machine
// without other work the time to wake a thread up, at every kernel.
#pragma once

#include <map>
#include <string>

namespace moat::launch {

// The variables of the environment that decide it: the user's own, where there is GOMP_SPINCOUNT or
// OMP_WAIT_POLICY, else moat's.
std::map<std::string, std::string> OpenMpWaits();

// Puts them into this process's environment, for the programs it starts. Before there are threads.
void SetOpenMpWaits();

}  // namespace moat::launch
