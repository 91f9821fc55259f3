// Asks oneDNN, which makes the products, what it may use.
#include <dnnl.h>

#include "tensor/cpu_features.h"

namespace moat::tensor {

std::string MissingInstructions(core::DType dtype) {
  if (dtype != core::DType::kBF16) return "";
  const auto has = static_cast<unsigned>(dnnl_get_effective_cpu_isa());
  const auto needed = static_cast<unsigned>(dnnl_cpu_isa_avx512_core_bf16);
  return (has & needed) == needed ? "" : "avx512_bf16 or amx_bf16";
}

}  // namespace moat::tensor
