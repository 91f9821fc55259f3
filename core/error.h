// Typed errors and the exit codes that schedulers rely on.
//
// Every failure that a user, a disk, a peer or a number can cause is thrown as core::Error (or a
// type derived from it) and is caught once, in the main of each program, by RunMain(). MOAT_CHECK
// is for our own bugs only.
//
// A message says what was expected, what was found, where, and what to do about it.
#pragma once

#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace moat::core {

// The contract with schedulers; docs/exit-codes.md explains each to users.
enum class ExitCode : int {
  kOk = 0,
  kConfig = 2,         // bad flags or config, run in use or of another configuration
  kData = 65,          // bad data
  kNode = 69,          // unhealthy node, replicas that differ: retry elsewhere
  kBug = 70,           // a defect in moat
  kOutOfMemory = 71,   // not again on this grid
  kStorage = 74,       // storage failed, or no intact checkpoint is left
  kPreempted = 75,     // preempted or out of time, checkpoint saved: requeue me
  kPeer = 76,          // hang or lost peer: retry if there was progress
  kStopped = 78,       // stopped on purpose: never retry
  kNumerics = 79,      // diverged
  kDoNotRequeue = 93,  // no progress over several attempts
};

// "config", "data", ... : the class written to outcome.json.
const char* ExitCodeName(ExitCode code);

// A rank that failed, as people know it.
struct FailedRank {
  int rank = -1;  // in the world
  std::string host;
  bool operator==(const FailedRank&) const = default;
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& what,
        std::optional<FailedRank> failed_rank = std::nullopt)
      : std::runtime_error(what), code_(code), failed_(std::move(failed_rank)) {}
  ExitCode code() const { return code_; }
  // The rank that failed, or the first of them, where that is another one than throws this and is
  // known.
  const std::optional<FailedRank>& failed() const { return failed_; }

 private:
  ExitCode code_;
  std::optional<FailedRank> failed_;
};

struct ConfigError : Error {
  explicit ConfigError(const std::string& what) : Error(ExitCode::kConfig, what) {}
};
struct DataError : Error {
  explicit DataError(const std::string& what) : Error(ExitCode::kData, what) {}
};
struct OutOfMemoryError : Error {
  explicit OutOfMemoryError(const std::string& what,
                            std::optional<FailedRank> failed_rank = std::nullopt)
      : Error(ExitCode::kOutOfMemory, what, std::move(failed_rank)) {}
};
struct StorageError : Error {
  explicit StorageError(const std::string& what) : Error(ExitCode::kStorage, what) {}
};
// A rank did not come.
struct PeerError : Error {
  explicit PeerError(const std::string& what, std::optional<FailedRank> failed_rank = std::nullopt)
      : Error(ExitCode::kPeer, what, std::move(failed_rank)) {}
};
struct NumericsError : Error {
  explicit NumericsError(const std::string& what) : Error(ExitCode::kNumerics, what) {}
};
struct BugError : Error {
  explicit BugError(const std::string& what) : Error(ExitCode::kBug, what) {}
};

// Runs `body` and turns what it throws into one line on stderr ("moat: error: ...") and an exit
// code. std::bad_alloc becomes 71, any other exception 70. Returns what `body` returns otherwise.
// `on_error`, if given, is told first (a rank writes its failure file there); it must not throw,
// and returns whether somebody else will print the cause, so that it is said once. A file that
// grows past the limit of its process (ulimit -f) is an error like a full disk, not a signal.
int RunMain(const std::function<int()>& body,
            const std::function<bool(const Error&)>& on_error = nullptr);

[[noreturn]] void ThrowCheckFailed(const char* condition, const char* file, int line,
                                   const std::string& note);

}  // namespace moat::core

// MOAT_CHECK(cond, "note"): throws BugError naming the place. For moat's own invariants, never for
// input.
#define MOAT_CHECK(condition, note)                                           \
  do {                                                                        \
    if (!(condition)) {                                                       \
      ::moat::core::ThrowCheckFailed(#condition, __FILE__, __LINE__, (note)); \
    }                                                                         \
  } while (false)
