// A run whose model is asked something: how it was trained, and which of its checkpoints is meant.
#pragma once

#include <filesystem>
#include <string>

#include "configs/train_config.h"

namespace moat::programs {

struct TrainedRun {
  configs::TrainConfig train;  // from run.flags
  std::filesystem::path checkpoint;
};

// `checkpoint`: "newest", "best" or a directory; empty: best if there is one, else newest. Throws
// ConfigError where there is no such run, or it has no checkpoint yet.
TrainedRun OpenRun(const std::string& run_root, const std::string& run,
                   const std::string& checkpoint);

}  // namespace moat::programs
