// How an attempt ended, as its ranks say it: a failure file per failed rank, a result by rank 0.
//
// Launchers mangle exit codes, so ranks write down what happened before they exit, and the
// supervisor reads it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "rundir/layout.h"

namespace moat::rundir {

struct Failure {
  int rank = 0;
  std::string host;
  core::ExitCode code = core::ExitCode::kBug;
  std::string what;
  int64_t step = 0;
  int64_t time_us = 0;                                    // wall clock
  std::optional<core::FailedRank> failed = std::nullopt;  // core::Error::failed()
  bool operator==(const Failure&) const = default;
};

// Never throws (a rank that fails has nowhere left to report to); returns whether it was written.
bool WriteFailure(const RunLayout& layout, int attempt, const Failure& failure) noexcept;

// The earliest cause first: failures that another rank's end explains (lost peers) come after all
// others, since clocks of hosts differ. Files that cannot be read are left out.
std::vector<Failure> ReadFailures(const RunLayout& layout, int attempt);

// Rank 0's word just before it exits in order: target reached, preempted or stopped. Written before
// MPI_Finalize.
struct Result {
  core::ExitCode code = core::ExitCode::kOk;
  int64_t step = 0;  // done
};

// What main returns after an end in order. Under a supervisor 0, since the result says it: mpirun
// kills the other ranks, rank 0 perhaps still writing, as soon as one exits with another code.
int OrderlyExit(core::ExitCode code);

void WriteResult(const RunLayout& layout, int attempt, const Result& result);
std::optional<Result> ReadResult(const RunLayout& layout, int attempt);  // nullopt: none, or torn

}  // namespace moat::rundir
