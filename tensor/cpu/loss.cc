// Softmax and cross-entropy over rows of logits, with their gradient in place.
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

MOAT_ROW_KERNEL void WeightedSoftmax(float* x, int64_t n, float log_sum, float weight) {
  for (int64_t i = 0; i < n; ++i) x[i] = weight * Exp(x[i] - log_sum);
}

void CrossEntropy(int64_t rows, int64_t vocab, void* logits, const int32_t* targets,
                  const float* weights, float* losses, bool gradient, const Stream& stream) {
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* row = static_cast<float*>(logits) + r * vocab;
      const float weight = weights[r];
      if (weight == 0) {
        losses[r] = 0;
        for (int64_t i = 0; gradient && i < vocab; ++i) row[i] = 0;
        continue;
      }
      const float log_sum = LogSumExp(row, vocab);
      losses[r] = weight * (log_sum - row[targets[r]]);
      if (gradient) {
        WeightedSoftmax(row, vocab, log_sum, weight);
        row[targets[r]] -= weight;
      }
    }
  });
}

}  // namespace

void FillLoss(KernelTable& table) { table.cross_entropy = CrossEntropy; }

}  // namespace moat::tensor::cpu
