// SwiGLU, GELU, addition, casts, dropout. The formulas are those of the CPU.
#include <algorithm>

#include "tensor/cuda/elementwise.cuh"
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/philox.cuh"

namespace moat::tensor::cuda {
namespace {

__device__ inline float Sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

template <typename T>
struct SwiGluTerm {
  int64_t width;
  const T* gate_up;
  T* y;
  template <int kStep>
  __device__ void Apply(int64_t row, int64_t column) const {
    float gate[kStep], up[kStep];
    LoadPack(gate_up + row * 2 * width + column, gate);
    LoadPack(gate_up + row * 2 * width + width + column, up);
#pragma unroll
    for (int i = 0; i < kStep; ++i) up[i] *= gate[i] * Sigmoid(gate[i]);
    StorePack(up, y + row * width + column);
  }
};

template <typename T>
struct SwiGluGradTerm {
  int64_t width;
  const T *gate_up, *dy;
  T* dgate_up;
  template <int kStep>
  __device__ void Apply(int64_t row, int64_t column) const {
    float gate[kStep], up[kStep], d[kStep];
    LoadPack(gate_up + row * 2 * width + column, gate);
    LoadPack(gate_up + row * 2 * width + width + column, up);
    LoadPack(dy + row * width + column, d);
#pragma unroll
    for (int i = 0; i < kStep; ++i) {
      const float s = Sigmoid(gate[i]), silu = gate[i] * s;
      gate[i] = d[i] * up[i] * (s + silu * (1.0f - s));
      up[i] = d[i] * silu;
    }
    StorePack(gate, dgate_up + row * 2 * width + column);
    StorePack(up, dgate_up + row * 2 * width + width + column);
  }
};

// sqrt(2/pi) and the cubic term of the approximation.
constexpr float kGeluScale = 0.7978845608f, kGeluCubic = 0.044715f;

// 1 + tanh(u) is 2 sigmoid(2u).
__device__ inline float GeluSigmoid(float x) {
  return Sigmoid(2.0f * (kGeluScale * (x + kGeluCubic * x * x * x)));
}

template <typename T>
struct GeluTerm {
  const T* x;
  T* y;
  template <int kStep>
  __device__ void Apply(int64_t at) const {
    float v[kStep];
    LoadPack(x + at, v);
#pragma unroll
    for (int i = 0; i < kStep; ++i) v[i] *= GeluSigmoid(v[i]);
    StorePack(v, y + at);
  }
};

template <typename T>
struct GeluGradTerm {
  const T *x, *dy;
  T* dx;
  template <int kStep>
  __device__ void Apply(int64_t at) const {
    float v[kStep], d[kStep];
    LoadPack(x + at, v);
    LoadPack(dy + at, d);
#pragma unroll
    for (int i = 0; i < kStep; ++i) {
      const float s = GeluSigmoid(v[i]);
      const float slope = kGeluScale * (1.0f + 3.0f * kGeluCubic * v[i] * v[i]);
      d[i] *= s + 2.0f * v[i] * s * (1.0f - s) * slope;
    }
    StorePack(d, dx + at);
  }
};

// y = x + branch; y may be either.
template <typename T>
struct AddTerm {
  const T *x, *branch;
  T* y;
  template <int kStep>
  __device__ void Apply(int64_t at) const {
    float a[kStep], b[kStep];
    LoadPack(x + at, a);
    LoadPack(branch + at, b);
#pragma unroll
    for (int i = 0; i < kStep; ++i) a[i] += b[i];
    StorePack(a, y + at);
  }
};

template <typename From, typename To>
struct CastTerm {
  const From* x;
  To* y;
  template <int kStep>
  __device__ void Apply(int64_t at) const {
    float v[kStep];
    LoadPack(x + at, v);
    StorePack(v, y + at);
  }
};

// Sample numbers travel as an argument of the kernel: no memory of the device, nothing to wait for.
constexpr int64_t kSamples = 128;  // sequences of one launch
struct DropoutMask {
  uint64_t samples[kSamples];
  uint64_t key;
  uint32_t seq_len;
  uint32_t first_slot;  // of the launch's first row, counted from its first sequence
  uint32_t threshold;   // of 16 random bits; below it a value is dropped
  float kept;           // the factor of those that stay
};

// Eight features from each call of the generator, 16 bits each, as on the CPU.
constexpr int kOfEachCall = 8;
__device__ inline void Factors(const DropoutMask& mask, int64_t row, int64_t column,
                               float (&factors)[kOfEachCall]) {
  const uint32_t slot = mask.first_slot + static_cast<uint32_t>(row);
  const uint64_t sample = mask.samples[slot / mask.seq_len];
  uint32_t words[4] = {static_cast<uint32_t>(column / kOfEachCall), slot % mask.seq_len,
                       static_cast<uint32_t>(sample), static_cast<uint32_t>(sample >> 32)};
  Philox4x32(words, static_cast<uint32_t>(mask.key), static_cast<uint32_t>(mask.key >> 32));
#pragma unroll
  for (int i = 0; i < kOfEachCall; ++i) {
    factors[i] = (words[i / 2] >> (i % 2 * 16) & 0xffffu) < mask.threshold ? 0.0f : mask.kept;
  }
}

// y = x + branch * factors, or branch * factors where x is null. A thread takes eight columns.
template <typename T, bool kWide>
__global__ void DropoutKernel(int64_t width, const T* x, const T* branch, T* y,
                              const DropoutMask mask) {
  const int64_t row = blockIdx.x;
  const int64_t column =
      (static_cast<int64_t>(blockIdx.y) * kElementThreads + threadIdx.x) * kOfEachCall;
  if (column >= width) return;
  float factors[kOfEachCall];
  Factors(mask, row, column, factors);
  const int64_t at = row * width + column;
  if constexpr (kWide) {
    float values[kOfEachCall], sum[kOfEachCall] = {};
    LoadPack(branch + at, values);
    if (x != nullptr) LoadPack(x + at, sum);
#pragma unroll
    for (int i = 0; i < kOfEachCall; ++i) sum[i] += values[i] * factors[i];
    StorePack(sum, y + at);
  } else {
    const int64_t end = min(static_cast<int64_t>(kOfEachCall), width - column);
#pragma unroll
    for (int i = 0; i < kOfEachCall; ++i) {
      if (i < end) {
        const float sum = x != nullptr ? Load(x + at + i) : 0.0f;
        Store(sum + Load(branch + at + i) * factors[i], y + at + i);
      }
    }
  }
}

template <typename T>
void DropRows(int64_t rows, int64_t width, const T* x, const T* branch, T* y, const DropoutKey& d,
              const Stream& stream) {
  DropoutMask mask{};
  mask.key = d.key;
  mask.seq_len = static_cast<uint32_t>(d.seq_len);
  mask.threshold = static_cast<uint32_t>(d.rate * 65536.0f);
  mask.kept = 1.0f / (1.0f - static_cast<float>(mask.threshold) / 65536.0f);
  const auto kernel = width % kOfEachCall == 0 && Aligned(x, branch, y) ? DropoutKernel<T, true>
                                                                        : DropoutKernel<T, false>;
  for (int64_t done = 0; done < rows;) {
    const int64_t slot = d.first_row + done, sequence = slot / d.seq_len;
    const int64_t count = std::min(rows - done, (sequence + kSamples) * d.seq_len - slot);
    const int64_t last = (slot + count - 1) / d.seq_len;
    std::copy(d.samples + sequence, d.samples + last + 1, mask.samples);
    mask.first_slot = static_cast<uint32_t>(slot % d.seq_len);
    const int64_t at = done * width;
    Launch(
        "dropout", stream, kernel,
        dim3(static_cast<unsigned>(count), Blocks(width, int64_t{kElementThreads} * kOfEachCall)),
        kElementThreads, 0, width, x == nullptr ? x : x + at, branch + at, y + at, mask);
    done += count;
  }
}

template <typename T>
struct Functions {
  static void SwiGlu(int64_t rows, int64_t width, const void* gate_up, void* y,
                     const Stream& stream) {
    ForEachOfRows<T>("SwiGLU", stream, rows, width, Aligned(gate_up, y),
                     SwiGluTerm<T>{width, static_cast<const T*>(gate_up), static_cast<T*>(y)});
  }
  static void SwiGluGrad(int64_t rows, int64_t width, const void* gate_up, const void* dy,
                         void* dgate_up, const Stream& stream) {
    ForEachOfRows<T>("gradient of SwiGLU", stream, rows, width, Aligned(gate_up, dy, dgate_up),
                     SwiGluGradTerm<T>{width, static_cast<const T*>(gate_up),
                                       static_cast<const T*>(dy), static_cast<T*>(dgate_up)});
  }
  static void Gelu(int64_t count, const void* x, void* y, const Stream& stream) {
    ForEach<T>("GELU", stream, count, Aligned(x, y),
               GeluTerm<T>{static_cast<const T*>(x), static_cast<T*>(y)});
  }
  static void GeluGrad(int64_t count, const void* x, const void* dy, void* dx,
                       const Stream& stream) {
    ForEach<T>(
        "gradient of GELU", stream, count, Aligned(x, dy, dx),
        GeluGradTerm<T>{static_cast<const T*>(x), static_cast<const T*>(dy), static_cast<T*>(dx)});
  }
  static void AddDropout(int64_t rows, int64_t width, const void* x, const void* branch, void* y,
                         const DropoutKey& dropout, const Stream& stream) {
    const auto* from = static_cast<const T*>(x);
    const auto* add = static_cast<const T*>(branch);
    auto* to = static_cast<T*>(y);
    if (dropout.rate == 0) {
      ForEach<T>("addition", stream, rows * width, Aligned(x, branch, y),
                 AddTerm<T>{from, add, to});
    } else {
      DropRows(rows, width, from, add, to, dropout, stream);
    }
  }
  static void Dropout(int64_t rows, int64_t width, void* x, const DropoutKey& dropout,
                      const Stream& stream) {
    auto* values = static_cast<T*>(x);
    DropRows<T>(rows, width, nullptr, values, values, dropout, stream);
  }
  static void Add(int64_t count, const void* x, void* y, const Stream& stream) {
    auto* to = static_cast<T*>(y);
    ForEach<T>("addition", stream, count, Aligned(x, y),
               AddTerm<T>{to, static_cast<const T*>(x), to});
  }
  static void ToF32(int64_t count, const void* x, float* y, const Stream& stream) {
    ForEach<T>("cast", stream, count, Aligned(x, y),
               CastTerm<T, float>{static_cast<const T*>(x), y});
  }
  static void FromF32(int64_t count, const float* x, void* y, const Stream& stream) {
    ForEach<T>("cast", stream, count, Aligned(x, y), CastTerm<float, T>{x, static_cast<T*>(y)});
  }
};

template <typename T>
void Fill(KernelTable& table) {
  using F = Functions<T>;
  table.swiglu = F::SwiGlu;
  table.swiglu_grad = F::SwiGluGrad;
  table.gelu = F::Gelu;
  table.gelu_grad = F::GeluGrad;
  table.add_dropout = F::AddDropout;
  table.dropout = F::Dropout;
  table.add = F::Add;
  table.to_f32 = F::ToF32;
  table.from_f32 = F::FromF32;
}

}  // namespace

void FillActivation(core::DType dtype, KernelTable& table) {
  dtype == core::DType::kF32 ? Fill<float>(table) : Fill<BFloat16>(table);
}

}  // namespace moat::tensor::cuda
