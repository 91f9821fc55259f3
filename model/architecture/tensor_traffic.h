// What tensor parallelism moves: bytes that a rank receives, from a model's configuration.
#pragma once

#include "configs/model_config.h"
#include "core/units.h"
#include "model/architecture/architecture.h"

namespace moat::model {

struct TensorTraffic {
  core::Bytes group;   // over the tensor group
  core::Bytes copies;  // over the ranks that hold the same key and value heads
};

// Of one micro-batch, forward and backward, by each tensor rank; the terms are derived in
// docs/parallelism.md. Reductions are counted as reduce-scatter and all-gather; communicators round
// ranks' blocks of a reduction up to 16 elements.
TensorTraffic TrafficOfMicroBatch(const configs::ModelConfig& config, const PlanOptions& options);

}  // namespace moat::model
