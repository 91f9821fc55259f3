// How fast this run's devices multiply matrices: what a step's model FLOP/s are a share of.
#pragma once

#include "comm/communicator.h"
#include "core/dtype.h"
#include "tensor/stream.h"

namespace moat::trainer {

// Collective: FLOP/s of all ranks of `world` together, while all of them multiply (they may share
// cores): per rank the best of several products of 768 x 768 x 768 in `dtype`, for about 0.1 s.
double MeasureGemmRate(core::DType dtype, comm::Communicator& world, tensor::Stream& stream);

}  // namespace moat::trainer
