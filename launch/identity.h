// What makes a run the same run: the flags that may not change between its attempts.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "configs/command_line.h"

namespace moat::launch {

// Throws ConfigError, with both values of every flag that differs, when `wanted` is not the run
// whose flags stand in `run_flags`. Returns notes about changes that are allowed and yet matter:
// those that end the chain of equal bits. An absent file is a new run.
std::vector<std::string> CheckSameRun(const std::filesystem::path& run_flags,
                                      const configs::CommandLine& wanted);

}  // namespace moat::launch
