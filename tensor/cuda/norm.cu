// RMSNorm, forward and backward: a block of threads takes a row.
#include <algorithm>

#include "tensor/cuda/element.cuh"
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/stream.h"

namespace moat::tensor::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kLeastRows = 32;  // of one partial sum of the weight's gradient
constexpr int64_t kMostPartials = 256;

template <typename T>
__global__ void NormRow(int64_t width, float epsilon, const T* x, const T* weight, T* y,
                        float* inverse_rms) {
  x += blockIdx.x * width;
  y += blockIdx.x * width;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < width; i += kThreads) squares += Load(x + i) * Load(x + i);
  const float sum = BlockSum<kThreads>(squares);
  const float inverse = 1.0f / sqrtf(sum / static_cast<float>(width) + epsilon);
  if (threadIdx.x == 0) inverse_rms[blockIdx.x] = inverse;
  for (int64_t i = threadIdx.x; i < width; i += kThreads) {
    Store(Load(x + i) * inverse * Load(weight + i), y + i);
  }
}

// With n = x * inverse: dx = inverse * (g - n * mean(g * n)), g = dy * weight. dx may be dy: an
// element is read for the last time by the thread that writes it.
template <typename T>
__global__ void NormGradRow(int64_t width, const T* x, const T* weight, const float* inverse_rms,
                            const T* dy, T* dx) {
  x += blockIdx.x * width;
  dy += blockIdx.x * width;
  dx += blockIdx.x * width;
  float products = 0;
  for (int64_t i = threadIdx.x; i < width; i += kThreads) {
    products += Load(dy + i) * Load(weight + i) * Load(x + i);
  }
  const float dot = BlockSum<kThreads>(products);
  const float inverse = inverse_rms[blockIdx.x];
  const float factor = dot * inverse * inverse / static_cast<float>(width);
  for (int64_t i = threadIdx.x; i < width; i += kThreads) {
    Store(inverse * (Load(dy + i) * Load(weight + i) - Load(x + i) * factor), dx + i);
  }
}

// partials [blocks, width]: each the sum over its own rows, in order. A thread takes a column.
template <typename T>
__global__ void WeightGradPartials(int64_t rows, int64_t width, int64_t rows_of_each, const T* x,
                                   const float* inverse_rms, const T* dy, float* partials) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (column >= width) return;
  const int64_t begin = blockIdx.y * rows_of_each;
  const int64_t end = min(rows, begin + rows_of_each);
  float sum = 0;
  for (int64_t r = begin; r < end; ++r) {
    sum += Load(dy + r * width + column) * (Load(x + r * width + column) * inverse_rms[r]);
  }
  partials[blockIdx.y * width + column] = sum;
}

__global__ void AddPartials(int64_t width, int64_t count, const float* partials, float* dweight,
                            bool accumulate) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (column >= width) return;
  float sum = accumulate ? dweight[column] : 0.0f;
  for (int64_t i = 0; i < count; ++i) sum += partials[i * width + column];
  dweight[column] = sum;
}

unsigned Blocks(int64_t threads) {
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

template <typename T>
void RmsNorm(int64_t rows, int64_t width, float epsilon, const void* x, const void* weight, void* y,
             float* inverse_rms, const Stream& stream) {
  if (rows == 0) return;
  NormRow<T><<<static_cast<unsigned>(rows), kThreads, 0, Of(stream).get()>>>(
      width, epsilon, static_cast<const T*>(x), static_cast<const T*>(weight), static_cast<T*>(y),
      inverse_rms);
  CheckLaunch("RMSNorm");
}

template <typename T>
void RmsNormGrad(int64_t rows, int64_t width, const void* x, const void* weight,
                 const float* inverse_rms, const void* dy, void* dx, float* dweight,
                 bool accumulate_dweight, const Stream& stream) {
  CudaStream& queue = Of(stream);
  // The number of partial sums is a function of the shape alone, and so are the bits.
  const int64_t fit = static_cast<int64_t>(kWorkspaceBytes / sizeof(float)) / width;
  const int64_t most = std::max<int64_t>(1, std::min(kMostPartials, fit));
  const int64_t rows_of_each = std::max(kLeastRows, (rows + most - 1) / most);
  const int64_t count = (rows + rows_of_each - 1) / rows_of_each;
  auto* const partials = static_cast<float*>(queue.workspace());
  // The weight's gradient first, since dx may be dy.
  if (rows > 0) {
    WeightGradPartials<T>
        <<<dim3(Blocks(width), static_cast<unsigned>(count)), kThreads, 0, queue.get()>>>(
            rows, width, rows_of_each, static_cast<const T*>(x), inverse_rms,
            static_cast<const T*>(dy), partials);
    CheckLaunch("partial sums of RMSNorm's weight");
  }
  AddPartials<<<Blocks(width), kThreads, 0, queue.get()>>>(width, count, partials, dweight,
                                                           accumulate_dweight);
  CheckLaunch("sum of RMSNorm's weight");
  if (rows == 0) return;
  NormGradRow<T><<<static_cast<unsigned>(rows), kThreads, 0, queue.get()>>>(
      width, static_cast<const T*>(x), static_cast<const T*>(weight), inverse_rms,
      static_cast<const T*>(dy), static_cast<T*>(dx));
  CheckLaunch("gradient of RMSNorm");
}

}  // namespace

void FillNorm(core::DType dtype, KernelTable& table) {
  const bool f32 = dtype == core::DType::kF32;
  table.rms_norm = f32 ? RmsNorm<float> : RmsNorm<__nv_bfloat16>;
  table.rms_norm_grad = f32 ? RmsNormGrad<float> : RmsNormGrad<__nv_bfloat16>;
}

}  // namespace moat::tensor::cuda
