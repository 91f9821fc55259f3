// outcome.json: how a run is doing or how it ended. The truth for schedulers and people, since
// launchers mangle exit codes.
//
// Written by whoever submits (queued) or takes that back (stopped), then by the supervisor alone,
// or by rank 0 where there is none. Always replaced whole.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "rundir/layout.h"

namespace moat::rundir {

enum class RunState { kQueued, kRunning, kDone, kPreempted, kStopped, kFailed, kLost };

const char* Name(RunState state);  // "queued", ...

struct FirstFailure {
  int rank = -1;  // -1: not a rank's, or unknown which
  std::string host;
  std::string what;
  bool operator==(const FirstFailure&) const = default;
};

struct Outcome {
  RunState state = RunState::kQueued;
  std::string error_class;  // "data", "peer", ... (core::ExitCodeName); "ok" for a good end
  int exit_code = 0;        // meaningful once the run is not queued or running
  std::optional<FirstFailure> first_failure;
  int64_t step = 0;        // the last one known to be done
  bool resumable = false;  // launching it again goes on from a checkpoint
  int attempts = 0;        // started so far
  bool operator==(const Outcome&) const = default;
};

std::string ToJson(const Outcome& outcome);
// Throws DataError naming `where`.
Outcome OutcomeFromJson(const std::string& text, const std::string& where);

void WriteOutcome(const RunLayout& layout, const Outcome& outcome);

// A little disk kept back while a run writes, so that how it ended can be written even where it
// filled the disk.
class OutcomeRoom {
 public:
  explicit OutcomeRoom(const RunLayout& layout);  // throws StorageError where there is none
  ~OutcomeRoom();                                 // gives it back
  OutcomeRoom(const OutcomeRoom&) = delete;

  // WriteOutcome, in the room if need be.
  void Write(const Outcome& outcome);

 private:
  RunLayout layout_;
};
std::optional<Outcome> ReadOutcome(const RunLayout& layout);  // nullopt: there is none

// As ReadOutcome, but a run said to be running whose lease is gone, dead or expired is lost.
std::optional<Outcome> ConcludeOutcome(const RunLayout& layout);

// The state that an exit code means.
RunState StateOf(int exit_code);

}  // namespace moat::rundir
