// A build without cuDNN's headers: attention is our own.
#include "tensor/cuda/attention_plans.h"

namespace moat::tensor::cuda {

int64_t CudnnForAttention() { return 0; }
std::unique_ptr<AttentionPlans> MakeCudnnAttention(cudaStream_t, int) { return nullptr; }
std::optional<CudnnEngines> CudnnEnginesFor(AttentionPass, const AttentionShape&,
                                            const std::string&) {
  return {};
}

}  // namespace moat::tensor::cuda
