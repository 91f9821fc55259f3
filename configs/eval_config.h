// What `moat eval` does.
#pragma once

#include <string>

namespace moat::configs {

struct EvalConfig {
  std::string run_root = "runs";
  std::string run;
  std::string checkpoint;  // "": best if there is one, else newest; "newest", "best" or a directory
  std::string data;        // "": the run's own
  int threads = 0;
  bool json = false;
};

void Validate(const EvalConfig& config);

}  // namespace moat::configs
