// Who and where this process is: host and process identity that survive the reuse of pids.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>

namespace moat::core {

std::string HostName();

// Cores this process may run on, at least 1.
int Cores();

// When a process of this host started, in clock ticks since boot; 0 when there is none (or it is a
// zombie). Together with the pid it names a process for as long as the host is up.
uint64_t ProcessStart(pid_t pid);

// Changes whenever the host boots.
std::string BootId();

// The folder of the running program: its siblings lie beside it.
std::filesystem::path ProgramFolder();

}  // namespace moat::core
