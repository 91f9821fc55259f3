// AdamW over a flat range, and the sums of squares for the global norm.
#include "tensor/cuda/elementwise.cuh"
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/reduce.cuh"

namespace moat::tensor::cuda {
namespace {

struct AdamWTerm {
  AdamWStep s;
  float inverse1, inverse2;  // of the corrections
  const float* gradient;
  float *moment1, *moment2, *weight;
  BFloat16* rounded;  // null for none
  template <int kStep>
  __device__ void Apply(int64_t at) const {
    float g[kStep], m[kStep], v[kStep], w[kStep];
    LoadPack(gradient + at, g);
    LoadPack(moment1 + at, m);
    LoadPack(moment2 + at, v);
    LoadPack(weight + at, w);
#pragma unroll
    for (int i = 0; i < kStep; ++i) {
      const float scaled = g[i] * s.gradient_scale;
      m[i] = s.beta1 * m[i] + (1.0f - s.beta1) * scaled;
      v[i] = s.beta2 * v[i] + (1.0f - s.beta2) * scaled * scaled;
      const float update = m[i] * inverse1 / (sqrtf(v[i] * inverse2) + s.epsilon);
      w[i] -= s.learning_rate * (update + s.weight_decay * w[i]);
    }
    StorePack(m, moment1 + at);
    StorePack(v, moment2 + at);
    StorePack(w, weight + at);
    if (rounded != nullptr) StorePack(w, rounded + at);
  }
};

void AdamW(int64_t count, const AdamWStep& step, const float* gradient, float* moment1,
           float* moment2, float* weight, void* rounded, const Stream& stream) {
  ForEach<float>("AdamW", stream, count, Aligned(gradient, moment1, moment2, weight, rounded),
                 AdamWTerm{step, 1.0f / step.correction1, 1.0f / step.correction2, gradient,
                           moment1, moment2, weight, static_cast<BFloat16*>(rounded)});
}

constexpr int kThreads = 256;

// sums[i]: of the elements of block i that x holds; x begins `phase` elements into block 0. An
// element's thread depends on its place among the block's elements here, never on its address.
__global__ void __launch_bounds__(kThreads)
    SquaresKernel(int64_t count, const float* x, int64_t block, int64_t phase, double* sums) {
  const int64_t index = blockIdx.x;
  const int64_t begin = max(static_cast<int64_t>(0), index * block - phase);
  const int64_t end = min(count, (index + 1) * block - phase);
  double sum = 0;
#pragma unroll 4
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
    sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  sum = OverBlock<Sum, kThreads>(sum);
  if (threadIdx.x == 0) sums[index] = sum;
}

void SumsOfSquares(int64_t count, const float* x, int64_t block, int64_t phase, double* sums,
                   const Stream& stream) {
  Launch("sums of squares", stream, SquaresKernel, Blocks(phase + count, block), kThreads, 0, count,
         x, block, phase, sums);
}

}  // namespace

void FillOptimizer(KernelTable& table) {
  table.adamw = AdamW;
  table.sums_of_squares = SumsOfSquares;
}

}  // namespace moat::tensor::cuda
