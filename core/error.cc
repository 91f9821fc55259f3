// Typed errors: names of exit codes and the one catch of every program.
#include "core/error.h"

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

int RunMain(const std::function<int()>& body,
            const std::function<void(ExitCode, const std::string&)>& on_error) {
  ExitCode code = ExitCode::kBug;
  std::string what;
  try {
    return body();
  } catch (const Error& error) {
    code = error.code();
    what = error.what();
  } catch (const std::bad_alloc&) {
    code = ExitCode::kOutOfMemory;
    what = "out of memory: lower --micro_batch, --seq_len or the model's size, or use more ranks";
  } catch (const std::exception& error) {
    what = std::string("unexpected: ") + error.what();
  }
  if (on_error) on_error(code, what);
  std::fprintf(stderr, "moat: error: %s\n", what.c_str());
  std::fflush(stderr);
  return static_cast<int>(code);
}

void ThrowCheckFailed(const char* condition, const char* file, int line, const std::string& note) {
  throw BugError(std::string(file) + ":" + std::to_string(line) + ": check failed: " + condition +
                 (note.empty() ? "" : " (" + note + ")") +
                 "; this is a defect in moat, please report it");
}

}  // namespace moat::core
