// AdamW and the sums of squares for the global norm.
#include <algorithm>
#include <cmath>

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/parallel_for.h"
#include "tensor/cpu/vector_math.h"

namespace moat::tensor::cpu {
namespace {

constexpr int64_t kFlatBlock = 1 << 14;
constexpr int64_t kCacheBlock = 1 << 10;  // new weights are rounded before they leave it

// The step is taken by value: behind a reference its numbers could change with every store.
MOAT_ROW_KERNEL void AdamWRange(int64_t n, const AdamWStep s, const float* gradient, float* moment1,
                                float* moment2, float* weight) {
  const float rest1 = 1.0f - s.beta1, rest2 = 1.0f - s.beta2;
  const float inverse1 = 1.0f / s.correction1, inverse2 = 1.0f / s.correction2;
  for (int64_t i = 0; i < n; ++i) {
    const float g = gradient[i] * s.gradient_scale;
    const float m = s.beta1 * moment1[i] + rest1 * g;
    const float v = s.beta2 * moment2[i] + rest2 * g * g;
    moment1[i] = m;
    moment2[i] = v;
    const float update = m * inverse1 / (std::sqrt(v * inverse2) + s.epsilon);
    weight[i] -= s.learning_rate * (update + s.weight_decay * weight[i]);
  }
}

MOAT_ROW_KERNEL void RoundRange(const float* x, core::BFloat16* y, int64_t n) {
  ForEach<core::BFloat16>(n, [&](auto at) MOAT_TERM { at.Store(y, at(x)); });
}

// Eight f64 partial sums, then a tree.
MOAT_ROW_KERNEL double SquaresOfBlock(const float* x, int64_t n) {
  double lane[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int l = 0; l < 8; ++l)
      lane[l] += static_cast<double>(x[i + l]) * static_cast<double>(x[i + l]);
  }
  for (; i < n; ++i) lane[i % 8] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

void AdamW(int64_t count, const AdamWStep& step, const float* gradient, float* moment1,
           float* moment2, float* weight, void* rounded, const Stream& stream) {
  ParallelBlocks(count, kFlatBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kCacheBlock) {
      const int64_t n = std::min(kCacheBlock, end - i);
      AdamWRange(n, step, gradient + i, moment1 + i, moment2 + i, weight + i);
      if (rounded) RoundRange(weight + i, static_cast<core::BFloat16*>(rounded) + i, n);
    }
  });
}

void SumsOfSquares(int64_t count, const float* x, int64_t block, int64_t phase, double* sums,
                   const Stream& stream) {
  ParallelBlocks(phase + count, block, stream, [&](int64_t begin, int64_t end) {
    const int64_t first = std::max<int64_t>(0, begin - phase);
    sums[begin / block] = SquaresOfBlock(x + first, end - phase - first);
  });
}

}  // namespace

void FillOptimizer(KernelTable& table) {
  table.adamw = AdamW;
  table.sums_of_squares = SumsOfSquares;
}

}  // namespace moat::tensor::cpu
