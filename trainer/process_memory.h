// What this process takes of the machine's memory.
#pragma once

#include "core/units.h"

namespace moat::trainer {

// The largest resident size so far (VmHWM).
core::Bytes PeakMemory();

}  // namespace moat::trainer
