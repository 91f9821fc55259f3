// Softmax and cross-entropy over rows of logits, with their gradient.
#include <algorithm>
#include <cmath>

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/parallel_for.h"
#include "tensor/cpu/vector_math.h"

namespace moat::tensor::cpu {
namespace {

constexpr int64_t kRowBlock = 4;

MOAT_ROW_KERNEL float LogSumExp(const float* x, int64_t n) {
  const float top = LaneMax(n, -INFINITY, x);
  const float sum = LaneSum<float>(n, [&](auto at) MOAT_TERM { return Exp(at(x) - top); });
  return top + std::log(sum);
}

template <typename T>
MOAT_ROW_KERNEL void WeightedSoftmax(const float* x, T* y, int64_t n, float log_sum, float weight) {
  ForEach<T>(n, [&](auto at) MOAT_TERM { at.Store(y, weight * Exp(at(x) - log_sum)); });
}

template <typename T>
void CrossEntropy(int64_t rows, int64_t vocab, const float* logits, const int32_t* targets,
                  const float* weights, float* losses, void* dlogits, const Stream& stream) {
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = logits + r * vocab;
      T* gradient = dlogits ? static_cast<T*>(dlogits) + r * vocab : nullptr;
      const float weight = weights[r];
      if (weight == 0) {
        losses[r] = 0;
        if (gradient) std::fill_n(gradient, vocab, T{});
        continue;
      }
      const float log_sum = LogSumExp(row, vocab);
      const float target = row[targets[r]];  // before it is overwritten
      losses[r] = weight * (log_sum - target);
      if (gradient) {
        WeightedSoftmax(row, gradient, vocab, log_sum, weight);
        OneAt{targets[r]}.Store(gradient, weight * Exp(target - log_sum) - weight);
      }
    }
  });
}

}  // namespace

template <typename T>
void FillLoss(KernelTable& table) {
  table.cross_entropy = CrossEntropy<T>;
}

template void FillLoss<float>(KernelTable&);
template void FillLoss<core::BFloat16>(KernelTable&);

}  // namespace moat::tensor::cpu
