// What `moat eval` does.
#pragma once

#include <string>
#include <vector>

namespace moat::configs {

struct EvalConfig {
  std::string run_root = "runs";
  std::string run;
  std::string checkpoint;  // "": best if there is one, else newest; "newest", "best" or a directory
  std::vector<std::string> data;  // empty: the run's own
  int threads = 0;
  std::string device = "auto";  // auto: a CUDA device where there is one; cpu; cuda
  bool json = false;
};

void Validate(const EvalConfig& config);

}  // namespace moat::configs
