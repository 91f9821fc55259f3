// A build without cuDNN's headers: attention is our own.
#include "tensor/cuda/attention_plans.h"

namespace moat::tensor::cuda {

int64_t CudnnForAttention() { return 0; }
std::unique_ptr<AttentionPlans> MakeCudnnAttention(cudaStream_t, int) { return nullptr; }
int CudnnEnginesFor(const AttentionShape&, const std::string&) { return -1; }

}  // namespace moat::tensor::cuda
