// AdamW over a flat range: one thread an element.
#include "tensor/cuda/element.cuh"
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/stream.h"

namespace moat::tensor::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void AdamWElement(int64_t count, AdamWStep s, const float* gradient, float* moment1,
                             float* moment2, float* weight, __nv_bfloat16* rounded) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const float g = gradient[i] * s.gradient_scale;
  const float m = s.beta1 * moment1[i] + (1.0f - s.beta1) * g;
  const float v = s.beta2 * moment2[i] + (1.0f - s.beta2) * g * g;
  moment1[i] = m;
  moment2[i] = v;
  const float update = m / s.correction1 / (sqrtf(v / s.correction2) + s.epsilon);
  const float w = weight[i] - s.learning_rate * (update + s.weight_decay * weight[i]);
  weight[i] = w;
  if (rounded != nullptr) Store(w, rounded + i);
}

void AdamW(int64_t count, const AdamWStep& step, const float* gradient, float* moment1,
           float* moment2, float* weight, void* rounded, const Stream& stream) {
  if (count == 0) return;
  const auto blocks = static_cast<unsigned>((count + kThreads - 1) / kThreads);
  AdamWElement<<<blocks, kThreads, 0, Of(stream).get()>>>(
      count, step, gradient, moment1, moment2, weight, static_cast<__nv_bfloat16*>(rounded));
  CheckLaunch("AdamW");
}

}  // namespace

void FillOptimizer(KernelTable& table) { table.adamw = AdamW; }

}  // namespace moat::tensor::cuda
