// RMSNorm, forward and backward.
#include <cmath>

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/parallel_for.h"
#include "tensor/cpu/vector_math.h"

namespace moat::tensor::cpu {
namespace {

constexpr int64_t kRowBlock = 16;
constexpr int64_t kColumnBlock = 128;

template <typename T>
MOAT_ROW_KERNEL float NormRow(const T* x, const T* weight, T* y, int64_t width, float epsilon) {
  const float sum = LaneSum<T>(width, [&](auto at) MOAT_TERM { return at(x) * at(x); });
  const float inverse = 1.0f / std::sqrt(sum / static_cast<float>(width) + epsilon);
  ForEach<T>(width, [&](auto at) MOAT_TERM { at.Store(y, at(x) * inverse * at(weight)); });
  return inverse;
}

// With n = x * inverse: dx = inverse * (g - n * mean(g * n)), g = dy * weight.
template <typename T>
MOAT_ROW_KERNEL void NormGradRow(const T* x, const T* weight, float inverse, const T* dy, T* dx,
                                 int64_t width) {
  const float dot =
      LaneSum<T>(width, [&](auto at) MOAT_TERM { return at(dy) * at(weight) * at(x); });
  const float factor = dot * inverse * inverse / static_cast<float>(width);
  ForEach<T>(width, [&](auto at) MOAT_TERM {
    at.Store(dx, inverse * (at(dy) * at(weight) - at(x) * factor));
  });
}

// dweight[n] += sums over rows, in order, of n columns of a matrix of `width`.
template <typename T>
MOAT_ROW_KERNEL void AddWeightGrad(int64_t rows, int64_t width, const T* x, const float* inverse,
                                   const T* dy, float* dweight, int64_t n) {
  float sum[kColumnBlock];
  for (int64_t i = 0; i < n; ++i) sum[i] = dweight[i];
  for (int64_t r = 0; r < rows; ++r) {
    const T *from = x + r * width, *grad = dy + r * width;
    const float scale = inverse[r];
    ForEach<T>(n,
               [&](auto at) MOAT_TERM { at.Store(sum, at(sum) + at(grad) * (at(from) * scale)); });
  }
  for (int64_t i = 0; i < n; ++i) dweight[i] = sum[i];
}

template <typename T>
void RmsNorm(int64_t rows, int64_t width, float epsilon, const void* x, const void* weight, void* y,
             float* inverse_rms, const Stream& stream) {
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      inverse_rms[r] = NormRow(static_cast<const T*>(x) + r * width, static_cast<const T*>(weight),
                               static_cast<T*>(y) + r * width, width, epsilon);
    }
  });
}

template <typename T>
void RmsNormGrad(int64_t rows, int64_t width, const void* x_void, const void* weight,
                 const float* inverse_rms, const void* dy_void, void* dx, float* dweight,
                 bool accumulate_dweight, const Stream& stream) {
  const auto* x = static_cast<const T*>(x_void);
  const auto* dy = static_cast<const T*>(dy_void);
  // The weight's gradient first, since dx may be dy: columns are split, rows added in order.
  ParallelBlocks(width, kColumnBlock, stream, [&](int64_t begin, int64_t end) {
    if (!accumulate_dweight) {
      for (int64_t j = begin; j < end; ++j) dweight[j] = 0;
    }
    AddWeightGrad(rows, width, x + begin, inverse_rms, dy + begin, dweight + begin, end - begin);
  });
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      NormGradRow(x + r * width, static_cast<const T*>(weight), inverse_rms[r], dy + r * width,
                  static_cast<T*>(dx) + r * width, width);
    }
  });
}

}  // namespace

template <typename T>
void FillNorm(KernelTable& table) {
  table.rms_norm = RmsNorm<T>;
  table.rms_norm_grad = RmsNormGrad<T>;
}

template void FillNorm<float>(KernelTable&);
template void FillNorm<core::BFloat16>(KernelTable&);

}  // namespace moat::tensor::cpu
