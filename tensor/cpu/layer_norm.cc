// LayerNorm, forward and backward, and the gradient of a bias.
#include <algorithm>
#include <cmath>

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/parallel_for.h"
#include "tensor/cpu/vector_math.h"

namespace moat::tensor::cpu {
namespace {

constexpr int64_t kRowBlock = 16;
constexpr int64_t kColumnBlock = 128;

template <typename T>
MOAT_ROW_KERNEL void LayerNormRow(const T* x, const T* weight, const T* bias, T* y, int64_t width,
                                  float epsilon, float* mean, float* inverse) {
  const float n = static_cast<float>(width);
  const float m = LaneSum<T>(width, [&](auto at) MOAT_TERM { return at(x); }) / n;
  const float variance =
      LaneSum<T>(width, [&](auto at) MOAT_TERM { return (at(x) - m) * (at(x) - m); }) / n;
  const float scale = 1.0f / std::sqrt(variance + epsilon);
  if (bias) {
    ForEach<T>(width, [&](auto at)
                          MOAT_TERM { at.Store(y, (at(x) - m) * scale * at(weight) + at(bias)); });
  } else {
    ForEach<T>(width, [&](auto at) MOAT_TERM { at.Store(y, (at(x) - m) * scale * at(weight)); });
  }
  *mean = m;
  *inverse = scale;
}

// With n = (x - mean) * inverse and g = dy * weight:
// dx = inverse * (g - mean(g) - n * mean(g * n)).
template <typename T>
MOAT_ROW_KERNEL void LayerNormGradRow(const T* x, const T* weight, float mean, float inverse,
                                      const T* dy, T* dx, int64_t width) {
  const float n = static_cast<float>(width);
  const float sum = LaneSum<T>(width, [&](auto at) MOAT_TERM { return at(dy) * at(weight); }) / n;
  const float dot =
      LaneSum<T>(width, [&](auto at) MOAT_TERM { return at(dy) * at(weight) * (at(x) - mean); }) /
      n;
  const float factor = dot * inverse * inverse;
  ForEach<T>(width, [&](auto at) MOAT_TERM {
    at.Store(dx, inverse * (at(dy) * at(weight) - sum - (at(x) - mean) * factor));
  });
}

// dweight[n] += sums over rows, in order, of n columns of a matrix of `width`.
template <typename T>
MOAT_ROW_KERNEL void AddWeightGrad(int64_t rows, int64_t width, const T* x, const float* mean,
                                   const float* inverse, const T* dy, float* dweight, int64_t n) {
  float sum[kColumnBlock];
  for (int64_t i = 0; i < n; ++i) sum[i] = dweight[i];
  for (int64_t r = 0; r < rows; ++r) {
    const T *from = x + r * width, *grad = dy + r * width;
    const float m = mean[r], scale = inverse[r];
    ForEach<T>(n, [&](auto at)
                      MOAT_TERM { at.Store(sum, at(sum) + at(grad) * ((at(from) - m) * scale)); });
  }
  for (int64_t i = 0; i < n; ++i) dweight[i] = sum[i];
}

template <typename T>
MOAT_ROW_KERNEL void AddColumns(int64_t rows, int64_t width, const T* x, float* y, int64_t n) {
  float sum[kColumnBlock];
  for (int64_t i = 0; i < n; ++i) sum[i] = y[i];
  for (int64_t r = 0; r < rows; ++r) {
    const T* row = x + r * width;
    ForEach<T>(n, [&](auto at) MOAT_TERM { at.Store(sum, at(sum) + at(row)); });
  }
  for (int64_t i = 0; i < n; ++i) y[i] = sum[i];
}

template <typename T>
void LayerNorm(int64_t rows, int64_t width, float epsilon, const void* x, const void* weight,
               const void* bias, void* y, float* mean, float* inverse, const Stream& stream) {
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      LayerNormRow(static_cast<const T*>(x) + r * width, static_cast<const T*>(weight),
                   static_cast<const T*>(bias), static_cast<T*>(y) + r * width, width, epsilon,
                   mean + r, inverse + r);
    }
  });
}

template <typename T>
void BiasGrad(int64_t rows, int64_t width, const void* dy, float* dbias, bool accumulate,
              const Stream& stream) {
  ParallelBlocks(width, kColumnBlock, stream, [&](int64_t begin, int64_t end) {
    if (!accumulate) std::fill(dbias + begin, dbias + end, 0.0f);
    AddColumns(rows, width, static_cast<const T*>(dy) + begin, dbias + begin, end - begin);
  });
}

template <typename T>
void LayerNormGrad(int64_t rows, int64_t width, const void* x_void, const void* weight,
                   const float* mean, const float* inverse, const void* dy_void, void* dx,
                   float* dweight, float* dbias, bool accumulate, const Stream& stream) {
  const auto* x = static_cast<const T*>(x_void);
  const auto* dy = static_cast<const T*>(dy_void);
  // The parameters' gradients first, since dx may be dy: columns are split, rows added in order.
  if (dbias) BiasGrad<T>(rows, width, dy, dbias, accumulate, stream);
  ParallelBlocks(width, kColumnBlock, stream, [&](int64_t begin, int64_t end) {
    if (!accumulate) std::fill(dweight + begin, dweight + end, 0.0f);
    AddWeightGrad(rows, width, x + begin, mean, inverse, dy + begin, dweight + begin, end - begin);
  });
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      LayerNormGradRow(x + r * width, static_cast<const T*>(weight), mean[r], inverse[r],
                       dy + r * width, static_cast<T*>(dx) + r * width, width);
    }
  });
}

}  // namespace

template <typename T>
void FillLayerNorm(KernelTable& table) {
  table.layer_norm = LayerNorm<T>;
  table.layer_norm_grad = LayerNormGrad<T>;
  table.bias_grad = BiasGrad<T>;
}

template void FillLayerNorm<float>(KernelTable&);
template void FillLayerNorm<core::BFloat16>(KernelTable&);

}  // namespace moat::tensor::cpu
