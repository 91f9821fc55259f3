// What the processor lacks for a dtype.
#pragma once

#include <string>

#include "core/dtype.h"

namespace moat::tensor {

// The instruction sets that products in `dtype` (f32 or bf16) need at full speed and this processor
// lacks, in words for a message: "avx512_bf16 or amx_bf16"; empty: none. Ops work without them, but
// bf16 is then slower than f32. DNNL_MAX_CPU_ISA counts as the processor's limit, as it does for
// oneDNN.
std::string MissingInstructions(core::DType dtype);

}  // namespace moat::tensor
