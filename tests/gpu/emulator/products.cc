// What the emulated device has in place of cuBLASLt, and what it says of itself.
#include <cstring>

#include "tensor/cuda/element.cuh"
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/launch.h"

namespace moat::tensor {
namespace cuda {
namespace {

constexpr int kThreads = 32;

template <typename T, typename Result>
void ProductElement(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const T* a,
                    const T* b, const T* bias, Result* c, bool accumulate) {
  const int64_t at = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= m * n) return;
  const int64_t i = at / n, j = at % n;
  float sum = accumulate ? Load(c + at) : 0.0f;
  for (int64_t l = 0; l < k; ++l) {
    sum +=
        Load(a + (trans_a ? l * m + i : i * k + l)) * Load(b + (trans_b ? j * k + l : l * n + j));
  }
  Store(bias ? sum + Load(bias + j) : sum, c + at);
}

template <typename T>
void MatMul(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const void* a,
            const void* b, const void* bias, void* c, bool c_is_f32, bool accumulate,
            const Stream& stream) {
  const auto run = [&]<typename Result>(Result* result) {
    Launch("a product", stream, ProductElement<T, Result>, Blocks(m * n, kThreads), kThreads, 0,
           trans_a, trans_b, m, n, k, static_cast<const T*>(a), static_cast<const T*>(b),
           static_cast<const T*>(bias), result, accumulate);
  };
  if (c_is_f32) {
    run(static_cast<float*>(c));
  } else {
    run(static_cast<T*>(c));
  }
}

}  // namespace

void FillMatMul(core::DType dtype, KernelTable& table) {
  table.matmul = dtype == core::DType::kF32 ? MatMul<float> : MatMul<BFloat16>;
}

}  // namespace cuda

CudaReport LookAtCuda() {
  CudaReport report;
  report.built = true;
  return report;
}

}  // namespace moat::tensor
