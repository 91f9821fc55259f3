// What attention's kernels do not take, said before training starts.
#include <algorithm>
#include <string>

#include "core/error.h"
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/stream.h"

namespace moat::tensor::cuda {
namespace {

template <core::DType dtype>
void CheckAttention(const AttentionShape& s, bool with_gradient, const Stream& stream) {
  const size_t wanted = with_gradient ? std::max(AttentionSharedBytes(dtype, s.head_width),
                                                 AttentionGradSharedBytes(dtype, s.head_width))
                                      : AttentionSharedBytes(dtype, s.head_width);
  int offered = 0;
  Check(
      cudaDeviceGetAttribute(&offered, cudaDevAttrMaxSharedMemoryPerBlockOptin, Of(stream).index()),
      "looking at a device");
  if (wanted > static_cast<size_t>(offered)) {
    const auto kib = [](size_t bytes) { return std::to_string((bytes + 1023) >> 10) + " KiB"; };
    throw core::ConfigError("attention in " + std::string(Name(dtype)) + " with heads of " +
                            std::to_string(s.head_width) + " wants " + kib(wanted) +
                            " of shared memory a block, and this device has " +
                            kib(static_cast<size_t>(offered)) +
                            "; use --dtype=bf16, more heads or --device=cpu");
  }
  if (with_gradient) SequencesAtOnce(s);
}

}  // namespace

int64_t SequencesAtOnce(const AttentionShape& s) {
  const auto most = static_cast<int64_t>(kWorkspaceBytes / sizeof(float));
  if (s.heads * s.seq_len > most) {
    throw core::ConfigError("attention on cuda takes at most " + std::to_string(most) +
                            " heads x slots a sequence, not " + std::to_string(s.heads) + " x " +
                            std::to_string(s.seq_len) + "; use a smaller --seq_len");
  }
  return most / (s.heads * s.seq_len);
}

void FillAttentionLimits(core::DType dtype, KernelTable& table) {
  table.check_attention = dtype == core::DType::kF32 ? CheckAttention<core::DType::kF32>
                                                     : CheckAttention<core::DType::kBF16>;
}

}  // namespace moat::tensor::cuda
