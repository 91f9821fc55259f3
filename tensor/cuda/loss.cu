// Softmax and cross-entropy over rows of logits, with their gradient: a block of threads a row.
//
// A row is read twice: once for the sum of exponentials, whose largest term threads find on the
// way, and once for the gradient. It was just written by a product and is read from the cache.
#include "tensor/cuda/element.cuh"
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/launch.h"
#include "tensor/cuda/reduce.cuh"

namespace moat::tensor::cuda {
namespace {

constexpr int kThreads = 512;

struct SumOfExp {
  float top;  // the largest
  float sum;  // of exp(x - top)
};

// body(column, values) for the packs of a row that are this thread's.
template <int kStep, typename Body>
__device__ inline void ForEachPack(const float* row, int64_t width, const Body& body) {
  for (int64_t column = static_cast<int64_t>(threadIdx.x) * kStep; column < width;
       column += kThreads * kStep) {
    float values[kStep];
    LoadPack(row + column, values);
    body(column, values);
  }
}

// Over the block's row, on all threads.
template <int kStep>
__device__ inline SumOfExp SumExp(const float* row, int64_t width) {
  SumOfExp mine{-INFINITY, 0};
  ForEachPack<kStep>(row, width, [&](int64_t, const float(&x)[kStep]) {
    float top = x[0];
#pragma unroll
    for (int i = 1; i < kStep; ++i) top = fmaxf(top, x[i]);
    if (top > mine.top) {
      mine.sum *= expf(mine.top - top);
      mine.top = top;
    }
    if (mine.top == -INFINITY) return;  // nothing yet but terms of zero
#pragma unroll
    for (int i = 0; i < kStep; ++i) mine.sum += expf(x[i] - mine.top);
  });
  const float top = OverBlock<Largest, kThreads>(mine.top);
  const float share = mine.top == -INFINITY ? 0.0f : mine.sum * expf(mine.top - top);
  return {top, OverBlock<Sum, kThreads>(share)};
}

// gradient = weight * (softmax - onehot(target)); a target of another part is no column. It may lie
// where the row does: an element is read by the thread that writes it.
template <typename T, int kStep>
__device__ inline void WriteGradient(const float* row, T* gradient, int64_t width, float log_sum,
                                     float weight, int64_t target) {
  ForEachPack<kStep>(row, width, [&](int64_t column, float(&x)[kStep]) {
#pragma unroll
    for (int i = 0; i < kStep; ++i) {
      x[i] = weight * expf(x[i] - log_sum);
      if (column + i == target) x[i] -= weight;
    }
    StorePack(x, gradient + column);
  });
}

// A row of weight 0: no loss, no gradient.
template <typename T, int kStep>
__device__ inline void WriteNothing(float* loss, T* gradient, int64_t width) {
  if (threadIdx.x == 0) *loss = 0;
  if (gradient == nullptr) return;
  const float zeros[kStep] = {};
  for (int64_t column = static_cast<int64_t>(threadIdx.x) * kStep; column < width;
       column += kThreads * kStep) {
    StorePack(zeros, gradient + column);
  }
}

template <typename T, int kStep>
__global__ void __launch_bounds__(kThreads)
    CrossEntropyKernel(int64_t vocab, const float* logits, const int32_t* targets,
                       const float* weights, float* losses, T* dlogits) {
  const int64_t r = blockIdx.x;
  const float* const row = logits + r * vocab;
  T* const gradient = dlogits == nullptr ? nullptr : dlogits + r * vocab;
  const float weight = weights[r];
  if (weight == 0) return WriteNothing<T, kStep>(losses + r, gradient, vocab);
  const float target = row[targets[r]];  // by all, before the sums meet and anyone overwrites it
  const SumOfExp exp = SumExp<kStep>(row, vocab);
  const float log_sum = exp.top + logf(exp.sum);
  if (threadIdx.x == 0) losses[r] = weight * (log_sum - target);
  if (gradient != nullptr) {
    WriteGradient<T, kStep>(row, gradient, vocab, log_sum, weight, targets[r]);
  }
}

template <int kStep>
__global__ void __launch_bounds__(kThreads)
    PartStatisticsKernel(int64_t part, int64_t first, const float* logits, const int32_t* targets,
                         float* statistics) {
  const int64_t r = blockIdx.x, target = targets[r] - first;
  const SumOfExp exp = SumExp<kStep>(logits + r * part, part);
  if (threadIdx.x != 0) return;
  float* const to = statistics + r * kPartStatistics;
  to[0] = exp.top;
  to[1] = exp.sum;
  to[2] = target >= 0 && target < part ? logits[r * part + target] : 0.0f;
}

template <typename T, int kStep>
__global__ void __launch_bounds__(kThreads)
    CrossEntropyOfPartKernel(int64_t parts, int64_t part, int64_t first, const float* statistics,
                             const float* logits, const int32_t* targets, const float* weights,
                             float* losses, T* dlogits) {
  const int64_t r = blockIdx.x, rows = gridDim.x;
  T* const gradient = dlogits == nullptr ? nullptr : dlogits + r * part;
  const float weight = weights[r];
  if (weight == 0) return WriteNothing<T, kStep>(losses + r, gradient, part);
  // By every thread for itself: parts are few.
  float top = -INFINITY, sum = 0, target = 0;
  for (int64_t p = 0; p < parts; ++p) {
    top = fmaxf(top, statistics[(p * rows + r) * kPartStatistics]);
  }
  for (int64_t p = 0; p < parts; ++p) {
    const float* const of = statistics + (p * rows + r) * kPartStatistics;
    sum += of[1] * expf(of[0] - top);
    target += of[2];
  }
  const float log_sum = top + logf(sum);
  if (threadIdx.x == 0) losses[r] = weight * (log_sum - target);
  if (gradient != nullptr) {
    WriteGradient<T, kStep>(logits + r * part, gradient, part, log_sum, weight, targets[r] - first);
  }
}

template <typename T>
void CrossEntropy(int64_t rows, int64_t vocab, const float* logits, const int32_t* targets,
                  const float* weights, float* losses, void* dlogits, const Stream& stream) {
  const bool wide = vocab % kVector<T> == 0 && Aligned(logits, dlogits);
  const auto kernel = wide ? CrossEntropyKernel<T, kVector<T>> : CrossEntropyKernel<T, 1>;
  Launch("cross-entropy", stream, kernel, static_cast<unsigned>(rows), kThreads, 0, vocab, logits,
         targets, weights, losses, static_cast<T*>(dlogits));
}

void PartStatistics(int64_t rows, int64_t part, int64_t first, const float* logits,
                    const int32_t* targets, float* statistics, const Stream& stream) {
  const bool wide = part % kVector<float> == 0 && Aligned(logits);
  const auto kernel = wide ? PartStatisticsKernel<kVector<float>> : PartStatisticsKernel<1>;
  Launch("statistics of a part", stream, kernel, static_cast<unsigned>(rows), kThreads, 0, part,
         first, logits, targets, statistics);
}

template <typename T>
void CrossEntropyOfPart(int64_t parts, int64_t rows, int64_t part, int64_t first,
                        const float* statistics, const float* logits, const int32_t* targets,
                        const float* weights, float* losses, void* dlogits, const Stream& stream) {
  const bool wide = part % kVector<T> == 0 && Aligned(logits, dlogits);
  const auto kernel =
      wide ? CrossEntropyOfPartKernel<T, kVector<T>> : CrossEntropyOfPartKernel<T, 1>;
  Launch("cross-entropy of a part", stream, kernel, static_cast<unsigned>(rows), kThreads, 0, parts,
         part, first, statistics, logits, targets, weights, losses, static_cast<T*>(dlogits));
}

template <typename T>
void Fill(KernelTable& table) {
  table.cross_entropy = CrossEntropy<T>;
  table.cross_entropy_of_part = CrossEntropyOfPart<T>;
  table.part_statistics = PartStatistics;
}

}  // namespace

void FillLoss(core::DType dtype, KernelTable& table) {
  dtype == core::DType::kF32 ? Fill<float>(table) : Fill<BFloat16>(table);
}

}  // namespace moat::tensor::cuda
