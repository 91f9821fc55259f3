// Typed errors: names of exit codes and the one catch of every program.
#include "core/error.h"

#include <csignal>
#include <cstdio>
#include <new>

namespace moat::core {

const char* ExitCodeName(ExitCode code) {
  switch (code) {
    case ExitCode::kOk:
      return "ok";
    case ExitCode::kConfig:
      return "config";
    case ExitCode::kData:
      return "data";
    case ExitCode::kNode:
      return "node";
    case ExitCode::kBug:
      return "bug";
    case ExitCode::kOutOfMemory:
      return "out_of_memory";
    case ExitCode::kStorage:
      return "storage";
    case ExitCode::kPreempted:
      return "preempted";
    case ExitCode::kPeer:
      return "peer";
    case ExitCode::kStopped:
      return "stopped";
    case ExitCode::kNumerics:
      return "numerics";
    case ExitCode::kDoNotRequeue:
      return "no_progress";
  }
  return "unknown";
}

int RunMain(const std::function<int()>& body, const std::function<bool(const Error&)>& on_error) {
  std::signal(SIGXFSZ, SIG_IGN);
  const auto end = [&](const Error& error) {
    if (!on_error || !on_error(error)) {
      std::fprintf(stderr, "moat: error: %s\n", error.what());
      std::fflush(stderr);
    }
    return static_cast<int>(error.code());
  };
  try {
    return body();
  } catch (const Error& error) {
    return end(error);
  } catch (const std::bad_alloc&) {
    return end(OutOfMemoryError(
        "out of memory: lower --micro_batch, --seq_len or the model's size, or use more ranks"));
  } catch (const std::exception& error) {
    return end(BugError(std::string("unexpected: ") + error.what()));
  }
}

void ThrowCheckFailed(const char* condition, const char* file, int line, const std::string& note) {
  throw BugError(std::string(file) + ":" + std::to_string(line) + ": check failed: " + condition +
                 (note.empty() ? "" : " (" + note + ")") +
                 "; this is a defect in moat, please report it");
}

}  // namespace moat::core
