// What the emulated device has in place of cuBLASLt, and what it says of itself.
#include <cmath>

#include "core/float8.h"
#include "tensor/cuda/attention_plans.h"
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

float NumberOf(core::DType dtype, const void* codes, int64_t at) {
  return core::DecodeFloat8(static_cast<const uint8_t*>(codes)[at], core::Float8FormatOf(dtype));
}

// Scaled after the sum, as the library does.
template <typename Result>
void ScaledElement(const ScaledProduct p, Result* c) {
  const int64_t at = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= p.m * p.n) return;
  const int64_t i = at / p.n, j = at % p.n;
  float sum = 0;
  for (int64_t l = 0; l < p.k; ++l) {
    sum += NumberOf(p.a_dtype, p.a, i * p.k + l) * NumberOf(core::DType::kE4M3, p.b, j * p.k + l);
  }
  sum *= *p.a_scale * *p.b_scale;
  if (p.accumulate) sum += Load(c + at);
  if (p.bias != nullptr) sum += Load(static_cast<const BFloat16*>(p.bias) + j);
  Store(sum, c + at);
}

void ScaledMatMul(const ScaledProduct& p, const Stream& stream) {
  const auto run = [&]<typename Result>(Result* result) {
    Launch("a product in FP8", stream, ScaledElement<Result>, Blocks(p.m * p.n, kThreads), kThreads,
           0, p, result);
  };
  p.c_is_f32 ? run(static_cast<float*>(p.c)) : run(static_cast<BFloat16*>(p.c));
}

// 1 + tanh(u) is 2 / (1 + exp(-2u)).
float GeluSigmoid(float x) {
  return 1.0f / (1.0f + expf(-2.0f * 0.7978845608f * (x + 0.044715f * x * x * x)));
}
float GeluSlope(float x) {
  const float s = GeluSigmoid(x);
  return s + 2.0f * x * s * (1.0f - s) * 0.7978845608f * (1.0f + 3.0f * 0.044715f * x * x);
}

float Sum(const FusedProduct& p, const auto* a, const auto* b, int64_t i, int64_t j) {
  float sum = 0;
  for (int64_t l = 0; l < p.k; ++l) {
    sum += Load(a + (p.trans_a ? l * p.m + i : i * p.k + l)) *
           Load(b + (p.trans_b ? j * p.k + l : l * p.n + j));
  }
  return sum;
}

template <typename T>
void GeluElement(const FusedProduct p) {
  const int64_t at = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= p.m * p.n) return;
  const int64_t i = at / p.n, j = at % p.n;
  float value = Sum(p, static_cast<const T*>(p.a), static_cast<const T*>(p.b), i, j);
  T* const before = static_cast<T*>(p.before) + at;
  if (p.ending == FusedProduct::Ending::kGelu) {
    if (p.bias != nullptr) value += Load(static_cast<const T*>(p.bias) + j);
    Store(value, before);
    value *= GeluSigmoid(value);
  } else {
    value *= GeluSlope(Load(before));
  }
  Store(value, static_cast<T*>(p.c) + at);
}

template <typename T>
void BiasGradElement(const FusedProduct p) {
  const int64_t at = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= p.m * p.n) return;
  const auto* const a = static_cast<const T*>(p.a);
  const int64_t i = at / p.n, j = at % p.n;
  static_cast<float*>(p.c)[at] = Sum(p, a, static_cast<const T*>(p.b), i, j);
  if (j > 0) return;
  float sum = 0;
  for (int64_t l = 0; l < p.k; ++l) sum += Load(a + (p.trans_a ? l * p.m + i : i * p.k + l));
  p.dbias[i] = sum;
}

// Refuses what cuBLASLt is known to refuse.
template <typename T>
bool Fused(const FusedProduct& p, const Stream& stream) {
  const bool bias_grad = p.ending == FusedProduct::Ending::kBiasGrad;
  if (!bias_grad && p.n % 8 != 0) return false;
  Launch("a product in one pass", stream, bias_grad ? BiasGradElement<T> : GeluElement<T>,
         Blocks(p.m * p.n, kThreads), kThreads, 0, p);
  return true;
}

template <typename T>
void Fill(KernelTable& table) {
  table.matmul = MatMul<T>;
  table.fused_product = Fused<T>;
}

// Nothing to choose here, but what a run keeps can be read and is the same each time.
class EmulatedProducts : public ProductTuner {
 public:
  std::string library() override { return "an emulated device"; }
  void Measure(bool) override {}
  ProductChoices choices() override { return {library(), {}}; }
  void Use(const ProductChoices&) override {}
};

}  // namespace

bool AttentionByChoice(const AttentionShape&, const AttentionOperands&, OwnAttention,
                       const Stream&) {
  return false;
}

bool AttentionGradByChoice(const AttentionShape&, const AttentionGradOperands&, OwnAttentionGrad,
                           const Stream&) {
  return false;
}

std::unique_ptr<ProductTuner> MakeProducts(CudaStream&) {
  return std::make_unique<EmulatedProducts>();
}

void FillMatMul(core::DType dtype, KernelTable& table) {
  dtype == core::DType::kF32 ? Fill<float>(table) : Fill<BFloat16>(table);
  if (dtype == core::DType::kBF16) table.scaled_matmul = ScaledMatMul;
}

}  // namespace cuda

CudaReport LookAtCuda() {
  CudaReport report;
  report.built = true;
  return report;
}

}  // namespace moat::tensor
