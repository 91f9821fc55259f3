// Does a rank's plan fit into its device, and if not, what took the memory and which flag helps?
#pragma once

#include "configs/model_config.h"
#include "core/units.h"
#include "model/architecture/memory_plan.h"

namespace moat::trainer {

// Throws OutOfMemoryError when what `plan` puts on the device (all but the snapshot, which is the
// host's) is more than `free`, before anything of it is allocated: the parts by name, and the flags
// that save, the one that saves most first.
void CheckFits(const configs::ModelConfig& model, const model::MemoryOptions& plan,
               core::Bytes free);

}  // namespace moat::trainer
