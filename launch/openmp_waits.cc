// The environment's own word on how OpenMP's threads wait, or ours.
#include "launch/openmp_waits.h"

#include <cstdlib>

namespace moat::launch {

std::map<std::string, std::string> OpenMpWaits() {
  std::map<std::string, std::string> found;
  for (const char* const name : {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}) {
    if (const char* const value = std::getenv(name)) found[name] = value;
  }
  if (found.empty()) found["GOMP_SPINCOUNT"] = "5000";
  return found;
}

void SetOpenMpWaits() {
  for (const auto& [name, value] : OpenMpWaits()) setenv(name.c_str(), value.c_str(), 1);
}

}  // namespace moat::launch
