// Who and where this process is: host and process identity that survive the reuse of pids.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/units.h"

namespace moat::core {

std::string HostName();

// Cores this process may run on, at least 1.
int Cores();

// What was asked for; 0: all cores.
int ThreadsOf(int asked);

// The largest resident size of this process so far, and that of now.
Bytes PeakMemory();
Bytes ResidentMemory();

// "AMD EPYC 9B14"; "" where the kernel does not say.
std::string CpuModel();

// The extensions of this CPU that decide which kernels run and so which bits come out, of sse4_2,
// avx2, fma, avx512f, avx512_bf16, amx_bf16: "sse4_2 avx2 fma".
std::string InstructionSet();

// When a process of this host started, in clock ticks since boot; 0 when there is none (or it is a
// zombie). Together with the pid it names a process for as long as the host is up.
uint64_t ProcessStart(pid_t pid);

// Changes whenever the host boots.
std::string BootId();

// The folder of the running program: its siblings lie beside it.
std::filesystem::path ProgramFolder();

}  // namespace moat::core
