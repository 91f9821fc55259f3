// MemoryPlan: what a rank's tensors take in training, before the run, from the parameter table and
// the activation plan alone.
#pragma once

#include <string>
#include <vector>

#include "configs/model_config.h"
#include "configs/train_config.h"
#include "core/units.h"
#include "model/architecture/architecture.h"

namespace moat::model {

struct MemoryOptions {
  PlanOptions passes;      // rows, threads, dtype, tensor ranks
  int tp_index = 0;        // which of them
  int dp = 1;              // data ranks
  bool sharded = false;    // they share the optimizer's state (ZeRO stage 1)
  int waiting_sums = 0;    // subtree sums of the canonical reduction (parallel/canonical_ways.h)
  bool snapshots = false;  // checkpoints are written from a copy of what the rank saves
};

// Where a rank of a run stands, and on what.
struct RankPlace {
  int dp = 1;
  int tp = 1;
  int tp_index = 0;
  int threads = 1;
  core::DeviceKind device = core::DeviceKind::kCpu;
};

// What a rank there plans with. Throws ConfigError where the micro-batches do not divide by the
// ranks or the canonical ways (parallel/canonical_ways.h).
MemoryOptions MemoryOptionsOf(const configs::TrainConfig& config, const RankPlace& place);

struct MemoryItem {
  std::string
      name;  // "weights", "gradients", "optimizer", "waiting sums", "snapshot", "activations"
  core::Bytes bytes;
};

struct MemoryPlan {
  std::vector<MemoryItem> items;
  core::Bytes total;
  core::Bytes of(const std::string& name) const;  // BugError when absent
  std::string text() const;                       // "weights 475 MiB, gradients ..., "
};

// "weights" are those that the passes read and, unless the optimizer keeps them, the f32 master
// weights; "optimizer" is what the optimizer keeps.
MemoryPlan PlanMemory(const configs::ModelConfig& config, const MemoryOptions& options);

}  // namespace moat::model
