// Faults on request.
#include "core/fault.h"

#include <csignal>
#include <cstdlib>
#include <string>

#include "core/error.h"

namespace moat::core {

void FaultPoint(const char* point, int rank) {
  const char* const asked = std::getenv("MOAT_FAULT");
  if (asked == nullptr) return;
  const std::string all = std::string(":") + std::to_string(rank);
  for (const std::string& suffix : {std::string(), all}) {
    if (asked == std::string(point) + ":kill" + suffix) std::raise(SIGKILL);
    if (asked == std::string(point) + ":throw" + suffix) {
      throw StorageError(std::string("fault at ") + point + ", asked for by MOAT_FAULT");
    }
  }
}

}  // namespace moat::core
