// The element type a run can have on the processors it was given.
#pragma once

#include <string>

#include "comm/communicator.h"
#include "core/dtype.h"

namespace moat::trainer {

// Collective: `asked` when every rank's processor has the instructions for it; else f32 with a
// warning where `fallback`, or ConfigError, the same on all ranks, naming the first rank that lacks
// them and what is missing. `missing_here` is what this rank's lacks (tensor/cpu_features.h).
core::DType UsableDType(core::DType asked, bool fallback, const std::string& missing_here,
                        comm::Communicator& world);

}  // namespace moat::trainer
