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
  const float top = LaneMax(n, -INFINITY, [&](int64_t i) { return x[i]; });
  const float sum = LaneSum(n, [&](int64_t i) { return Exp(x[i] - top); });
  return top + std::log(sum);
}

MOAT_ROW_KERNEL void WeightedSoftmax(const float* x, float* y, int64_t n, float log_sum,
                                     float weight) {
  for (int64_t i = 0; i < n; ++i) y[i] = weight * Exp(x[i] - log_sum);
}

void CrossEntropy(int64_t rows, int64_t vocab, const float* logits, const int32_t* targets,
                  const float* weights, float* losses, void* dlogits, const Stream& stream) {
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = logits + r * vocab;
      float* gradient = dlogits ? static_cast<float*>(dlogits) + r * vocab : nullptr;
      const float weight = weights[r];
      if (weight == 0) {
        losses[r] = 0;
        if (gradient) std::fill_n(gradient, vocab, 0.0f);
        continue;
      }
      const float log_sum = LogSumExp(row, vocab);
      losses[r] = weight * (log_sum - row[targets[r]]);
      if (gradient) {
        WeightedSoftmax(row, gradient, vocab, log_sum, weight);
        gradient[targets[r]] -= weight;
      }
    }
  });
}

}  // namespace

void FillLoss(KernelTable& table) { table.cross_entropy = CrossEntropy; }

}  // namespace moat::tensor::cpu
