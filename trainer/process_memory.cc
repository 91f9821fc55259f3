// Resident memory, from the kernel's account.
#include "trainer/process_memory.h"

#include <sys/resource.h>

namespace moat::trainer {

core::Bytes PeakMemory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return core::Bytes(int64_t{usage.ru_maxrss} * 1024);
}

}  // namespace moat::trainer
