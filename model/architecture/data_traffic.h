// What data parallelism moves: bytes that a rank receives, from a model's configuration.
#pragma once

#include "configs/model_config.h"
#include "core/units.h"
#include "model/architecture/memory_plan.h"

namespace moat::model {

// Of one step, over the data group, by a rank that plans with `options`: sums of gradients, and
// weights or the others' sums; derived in docs/parallelism.md, but for the norm's squares and
// scalars, which are less than a thousandth.
core::Bytes DataTrafficOfStep(const configs::ModelConfig& config, const MemoryOptions& options);

}  // namespace moat::model
