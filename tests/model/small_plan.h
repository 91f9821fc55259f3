// A small model, and what a rank of it plans to put on a GPU, for tests of what fits.
#pragma once

#include "configs/model_config.h"
#include "core/units.h"
#include "model/architecture/memory_plan.h"

namespace moat::testing {

inline configs::ModelConfig Small() {
  configs::ModelConfig model;
  model.layers = 4;
  model.width = 64;
  model.heads = 4;
  model.kv_heads = 4;
  model.ffn = 128;
  model.vocab_size = 512;
  model.seq_len = 128;
  return model;
}

inline model::MemoryOptions OnGpu(int dp) {
  model::MemoryOptions options;
  options.passes.rows = 8;
  options.passes.device = core::DeviceKind::kCuda;
  options.dp = dp;
  options.snapshots = true;
  return options;
}

// On the device: the snapshot is the host's.
inline core::Bytes Needed(model::MemoryOptions options) {
  options.snapshots = false;
  return model::PlanMemory(Small(), options).total;
}

}  // namespace moat::testing
