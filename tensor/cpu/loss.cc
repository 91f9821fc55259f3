// Softmax and cross-entropy over rows of logits, with their gradient.
#include <algorithm>
#include <cmath>

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/parallel_for.h"
#include "tensor/cpu/vector_math.h"

namespace moat::tensor::cpu {
namespace {

constexpr int64_t kRowBlock = 4;

struct SumOfExp {
  float top;  // the largest
  float sum;  // of exp(x - top)
};

MOAT_ROW_KERNEL SumOfExp SumExp(const float* x, int64_t n) {
  const float top = LaneMax(n, -INFINITY, x);
  return {top, LaneSum<float>(n, [&](auto at) MOAT_TERM { return Exp(at(x) - top); })};
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
      const SumOfExp exp = SumExp(row, vocab);
      const float log_sum = exp.top + std::log(exp.sum);
      const float target = row[targets[r]];  // before it is overwritten
      losses[r] = weight * (log_sum - target);
      if (gradient) {
        WeightedSoftmax(row, gradient, vocab, log_sum, weight);
        OneAt{targets[r]}.Store(gradient, weight * Exp(target - log_sum) - weight);
      }
    }
  });
}

// Columns of a row that belong to `target`, or none.
bool Holds(int64_t first, int64_t part, int32_t target) {
  return target >= first && target < first + part;
}

void PartStatistics(int64_t rows, int64_t part, int64_t first, const float* logits,
                    const int32_t* targets, float* statistics, const Stream& stream) {
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = logits + r * part;
      float* to = statistics + r * kPartStatistics;
      const SumOfExp sum = SumExp(row, part);
      to[0] = sum.top;
      to[1] = sum.sum;
      to[2] = Holds(first, part, targets[r]) ? row[targets[r] - first] : 0.0f;
    }
  });
}

// Row r of the statistics of `parts` parts, as one: parts in order.
void Combine(const float* statistics, int64_t parts, int64_t rows, int64_t r, float* log_sum,
             float* target) {
  const auto of = [&](int64_t p) { return statistics + (p * rows + r) * kPartStatistics; };
  float top = -INFINITY, sum = 0;
  for (int64_t p = 0; p < parts; ++p) top = std::max(top, of(p)[0]);
  *target = 0;
  for (int64_t p = 0; p < parts; ++p) {
    sum += of(p)[1] * std::exp(of(p)[0] - top);
    *target += of(p)[2];
  }
  *log_sum = top + std::log(sum);
}

template <typename T>
void CrossEntropyOfPart(int64_t parts, int64_t rows, int64_t part, int64_t first,
                        const float* statistics, const float* logits, const int32_t* targets,
                        const float* weights, float* losses, void* dlogits, const Stream& stream) {
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      T* gradient = dlogits ? static_cast<T*>(dlogits) + r * part : nullptr;
      const float weight = weights[r];
      if (weight == 0) {
        losses[r] = 0;
        if (gradient) std::fill_n(gradient, part, T{});
        continue;
      }
      float log_sum = 0, target = 0;
      Combine(statistics, parts, rows, r, &log_sum, &target);
      losses[r] = weight * (log_sum - target);
      if (!gradient) continue;
      WeightedSoftmax(logits + r * part, gradient, part, log_sum, weight);
      if (Holds(first, part, targets[r])) {
        OneAt{targets[r] - first}.Store(gradient, weight * Exp(target - log_sum) - weight);
      }
    }
  });
}

}  // namespace

template <typename T>
void FillLoss(KernelTable& table) {
  table.part_statistics = PartStatistics;
  table.cross_entropy_of_part = CrossEntropyOfPart<T>;
  table.cross_entropy = CrossEntropy<T>;
}

template void FillLoss<float>(KernelTable&);
template void FillLoss<core::BFloat16>(KernelTable&);

}  // namespace moat::tensor::cpu
