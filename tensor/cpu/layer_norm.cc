// LayerNorm, forward and backward, and the gradient of a bias.
#include <algorithm>
#include <cmath>

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/parallel_for.h"
#include "tensor/cpu/vector_math.h"

namespace moat::tensor::cpu {
namespace {

constexpr int64_t kRowBlock = 16;
constexpr int64_t kColumnBlock = 64;

MOAT_ROW_KERNEL void LayerNormRow(const float* x, const float* weight, const float* bias, float* y,
                                  int64_t width, float epsilon, float* mean, float* inverse) {
  const float n = static_cast<float>(width);
  const float m = LaneSum(width, [&](int64_t i) { return x[i]; }) / n;
  const float variance = LaneSum(width, [&](int64_t i) { return (x[i] - m) * (x[i] - m); }) / n;
  const float scale = 1.0f / std::sqrt(variance + epsilon);
  for (int64_t i = 0; i < width; ++i) y[i] = (x[i] - m) * scale * weight[i];
  for (int64_t i = 0; bias && i < width; ++i) y[i] += bias[i];
  *mean = m;
  *inverse = scale;
}

// With n = (x - mean) * inverse and g = dy * weight:
// dx = inverse * (g - mean(g) - n * mean(g * n)).
MOAT_ROW_KERNEL void LayerNormGradRow(const float* x, const float* weight, float mean,
                                      float inverse, const float* dy, float* dx, int64_t width) {
  const float n = static_cast<float>(width);
  const float sum = LaneSum(width, [&](int64_t i) { return dy[i] * weight[i]; }) / n;
  const float dot =
      LaneSum(width, [&](int64_t i) { return dy[i] * weight[i] * (x[i] - mean); }) / n;
  const float factor = dot * inverse * inverse;
  for (int64_t i = 0; i < width; ++i) {
    dx[i] = inverse * (dy[i] * weight[i] - sum - (x[i] - mean) * factor);
  }
}

MOAT_ROW_KERNEL void AddWeightGrad(const float* x, float mean, float inverse, const float* dy,
                                   float* dweight, int64_t n) {
  for (int64_t i = 0; i < n; ++i) dweight[i] += dy[i] * ((x[i] - mean) * inverse);
}

MOAT_ROW_KERNEL void AddTo(const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += x[i];
}

void LayerNorm(int64_t rows, int64_t width, float epsilon, const void* x, const void* weight,
               const void* bias, void* y, float* mean, float* inverse, const Stream& stream) {
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      LayerNormRow(static_cast<const float*>(x) + r * width, static_cast<const float*>(weight),
                   static_cast<const float*>(bias), static_cast<float*>(y) + r * width, width,
                   epsilon, mean + r, inverse + r);
    }
  });
}

void BiasGrad(int64_t rows, int64_t width, const void* dy, float* dbias, bool accumulate,
              const Stream& stream) {
  ParallelBlocks(width, kColumnBlock, stream, [&](int64_t begin, int64_t end) {
    if (!accumulate) std::fill(dbias + begin, dbias + end, 0.0f);
    for (int64_t r = 0; r < rows; ++r) {
      AddTo(static_cast<const float*>(dy) + r * width + begin, dbias + begin, end - begin);
    }
  });
}

void LayerNormGrad(int64_t rows, int64_t width, const void* x_void, const void* weight,
                   const float* mean, const float* inverse, const void* dy_void, void* dx,
                   float* dweight, float* dbias, bool accumulate, const Stream& stream) {
  const auto* x = static_cast<const float*>(x_void);
  const auto* dy = static_cast<const float*>(dy_void);
  // The parameters' gradients first, since dx may be dy: columns are split, rows added in order.
  if (dbias) BiasGrad(rows, width, dy, dbias, accumulate, stream);
  ParallelBlocks(width, kColumnBlock, stream, [&](int64_t begin, int64_t end) {
    if (!accumulate) std::fill(dweight + begin, dweight + end, 0.0f);
    for (int64_t r = 0; r < rows; ++r) {
      AddWeightGrad(x + r * width + begin, mean[r], inverse[r], dy + r * width + begin,
                    dweight + begin, end - begin);
    }
  });
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      LayerNormGradRow(x + r * width, static_cast<const float*>(weight), mean[r], inverse[r],
                       dy + r * width, static_cast<float*>(dx) + r * width, width);
    }
  });
}

}  // namespace

void FillLayerNorm(KernelTable& table) {
  table.layer_norm = LayerNorm;
  table.layer_norm_grad = LayerNormGrad;
  table.bias_grad = BiasGrad;
}

}  // namespace moat::tensor::cpu
