// Faults on request.
#include "core/fault.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <sstream>
#include <string>
#include <thread>

#include "core/error.h"

namespace moat::core {
namespace {

// The first to create the file strikes.
bool TakeMarker(const std::string& marker) {
  const int fd = open(marker.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

}  // namespace

void FaultPoint(const char* point, int rank) {
  const char* const asked = std::getenv("MOAT_FAULT");
  if (asked == nullptr) return;
  std::istringstream words(asked);
  std::string where, action, who = "*", marker;
  std::getline(words, where, ':');
  std::getline(words, action, ':');
  std::getline(words, who, ':');
  std::getline(words, marker);
  if (where != point || (who != "*" && !who.empty() && who != std::to_string(rank))) return;
  if (!marker.empty() && !TakeMarker(marker)) return;
  if (action == "kill") std::raise(SIGKILL);
  if (action == "stop") std::raise(SIGSTOP);
  if (action == "slow") std::this_thread::sleep_for(std::chrono::milliseconds(100));
  if (action == "loop") {
    while (true) std::atomic_signal_fence(std::memory_order_seq_cst);
  }
  if (action == "throw") {
    throw StorageError(std::string("fault at ") + point + ", asked for by MOAT_FAULT");
  }
}

}  // namespace moat::core
