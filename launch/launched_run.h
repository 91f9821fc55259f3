// A `moat launch` as a child of this process: one run among several, with a log of its own.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "configs/command_line.h"
#include "launch/child.h"

namespace moat::launch {

// The flags of `moat launch` that `line` (of another command) resolves to, one --name=value each,
// without those named, and without --run, --run_root, --json, --wait, --parsable and --dry_run.
std::vector<std::string> LaunchFlags(const configs::CommandLine& line,
                                     const std::set<std::string>& without = {});

class LaunchedRun {
 public:
  // Starts `moat launch` with `flags`, what it says appended to the file `log`. It dies with this
  // process: call from a thread that stays. Throws ConfigError when it cannot be started.
  LaunchedRun(const std::filesystem::path& moat, const std::vector<std::string>& flags,
              const std::filesystem::path& log);

  void Signal(int number) const { child_->Signal(number); }
  // nullopt while it runs; 128 + n where signal n killed it.
  std::optional<int> ExitCode();

 private:
  std::unique_ptr<Child> child_;
};

}  // namespace moat::launch
