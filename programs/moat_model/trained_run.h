// A run whose model is asked something: how it was trained, and which of its checkpoints is meant.
#pragma once

#include <filesystem>
#include <string>

#include "configs/train_config.h"
#include "tensor/stream.h"

namespace moat::programs {

struct TrainedRun {
  configs::TrainConfig train;  // from run.flags
  std::filesystem::path checkpoint;
};

// `checkpoint`: "newest", "best" or a directory; empty: best if there is one, else newest. Throws
// ConfigError where there is no such run, or it has no checkpoint yet.
TrainedRun OpenRun(const std::string& run_root, const std::string& run,
                   const std::string& checkpoint);

// Checkpoints hold f32 weights, so a run is read everywhere: where the stream's device lacks what
// the run computed in, in f32 for bf16, in bf16 for FP8, and says so.
void FitToDevice(const tensor::Stream& stream, configs::TrainConfig& train);

}  // namespace moat::programs
