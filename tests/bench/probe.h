// What moat-probe, a program of its own, finds on this machine.
#pragma once

#include "core/dtype.h"

namespace moat::bench {

// FLOP/s of GPT-2 124M's products, f32 or bf16, on `threads` threads of one process. Starts the
// moat-probe that lies beside this program. Throws NodeError when it fails.
double ProbeGemmRate(core::DType dtype, int threads);

}  // namespace moat::bench
