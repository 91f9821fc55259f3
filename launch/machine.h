// What the system says about this machine.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "core/units.h"

namespace moat::launch {

struct Machine {
  std::string host;
  std::string processor;  // its name, "" where the system does not say
  int cores = 1;          // that this process may use
  core::Bytes memory;
  core::Bytes available_memory;
  core::Bytes shared_memory;           // free in /dev/shm; 0: there is none
  std::set<std::string> instructions;  // of avx2, avx512f, avx512_bf16, amx_bf16
  bool nvidia_device = false;          // a driver is loaded or a device is there
};

Machine LookAround();

// Processes that the kernel has ended since boot because memory was short; 0 where it does not say.
int64_t OutOfMemoryKills();

}  // namespace moat::launch
