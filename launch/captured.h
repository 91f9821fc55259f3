// A short program run to its end, with what it printed.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace moat::launch {

struct Captured {
  int code = 0;        // as exited; 128 + n when signal n ended it; 124 when it ran out of time
  std::string output;  // stdout
  std::string errors;  // stderr
};

// Kills it, and what it started, after `seconds`. Throws ConfigError when it cannot be started.
Captured RunCaptured(const std::vector<std::string>& argv,
                     const std::map<std::string, std::string>& env, double seconds);

}  // namespace moat::launch
