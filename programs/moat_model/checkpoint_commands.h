// moat checkpoint list, inspect, verify, diff, prune, copy: each prints what it found and returns
// the exit code.
#pragma once

#include "configs/command_line.h"

namespace moat::programs {

// What diff exits with where tensors differ, as diff(1) and cmp(1) do: a finding, not a failure.
inline constexpr int kTensorsDiffer = 1;

int CheckpointList(const configs::CommandLine& line);
int CheckpointInspect(const configs::CommandLine& line);
int CheckpointVerify(const configs::CommandLine& line);  // 65 where anything is damaged
int CheckpointDiff(const configs::CommandLine& line);
int CheckpointPrune(const configs::CommandLine& line);
int CheckpointCopy(const configs::CommandLine& line);

// argv: "verify" and what follows it. Throws ConfigError for a word that is none of the above.
int RunCheckpointCommand(int argc, const char* const* argv);

}  // namespace moat::programs
