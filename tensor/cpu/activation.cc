// SwiGLU, GELU, residual addition, dropout, casts.
#include <vector>

#include "core/rng.h"
#include "tensor/cpu/kernels.h"
#include "tensor/cpu/parallel_for.h"
#include "tensor/cpu/vector_math.h"

namespace moat::tensor::cpu {
namespace {

constexpr int64_t kRowBlock = 16;
constexpr int64_t kFlatBlock = 1 << 14;

template <typename T>
MOAT_ROW_KERNEL void SwiGluRow(const T* gate, const T* up, T* y, int64_t width) {
  ForEach<T>(width, [&](auto at) MOAT_TERM { at.Store(y, at(gate) * Sigmoid(at(gate)) * at(up)); });
}

template <typename T>
MOAT_ROW_KERNEL void SwiGluGradRow(const T* gate, const T* up, const T* dy, T* dgate, T* dup,
                                   int64_t width) {
  ForEach<T>(width, [&](auto at) MOAT_TERM {
    const auto g = at(gate), d = at(dy);
    const auto s = Sigmoid(g);
    const auto silu = g * s;
    at.Store(dup, d * silu);
    at.Store(dgate, d * at(up) * (s + silu * (1.0f - s)));
  });
}

// sqrt(2/pi) and the cubic term of the approximation.
constexpr float kGeluScale = 0.7978845608f, kGeluCubic = 0.044715f;

// 1 + tanh(u) is 2 sigmoid(2u).
template <typename V>
MOAT_INLINE V GeluSigmoid(V x) {
  const V u = kGeluScale * (x + kGeluCubic * x * x * x);
  return Sigmoid(2.0f * u);
}

template <typename T>
MOAT_ROW_KERNEL void GeluRow(const T* x, T* y, int64_t n) {
  ForEach<T>(n, [&](auto at) MOAT_TERM { at.Store(y, at(x) * GeluSigmoid(at(x))); });
}

template <typename T>
MOAT_ROW_KERNEL void GeluGradRow(const T* from, const T* dy, T* dx, int64_t n) {
  ForEach<T>(n, [&](auto at) MOAT_TERM {
    const auto x = at(from);
    const auto s = GeluSigmoid(x);
    const auto slope = kGeluScale * (1.0f + 3.0f * kGeluCubic * x * x);
    at.Store(dx, at(dy) * (s + 2.0f * x * s * (1.0f - s) * slope));
  });
}

template <typename T>
MOAT_ROW_KERNEL void AddRow(const T* x, const T* branch, T* y, int64_t width) {
  ForEach<T>(width, [&](auto at) MOAT_TERM { at.Store(y, at(x) + at(branch)); });
}

template <typename T>
MOAT_ROW_KERNEL void AddScaledRow(const T* x, const T* branch, const float* scale, T* y,
                                  int64_t width) {
  ForEach<T>(width, [&](auto at) MOAT_TERM { at.Store(y, at(x) + at(branch) * at(scale)); });
}

template <typename T>
MOAT_ROW_KERNEL void ScaleRow(const float* scale, T* x, int64_t width) {
  ForEach<T>(width, [&](auto at) MOAT_TERM { at.Store(x, at(x) * at(scale)); });
}

template <typename T>
MOAT_ROW_KERNEL void WidenRow(const T* x, float* y, int64_t n) {
  ForEach<T>(n, [&](auto at) MOAT_TERM { at.Store(y, at(x)); });
}

template <typename T>
MOAT_ROW_KERNEL void RoundRow(const float* x, T* y, int64_t n) {
  ForEach<T>(n, [&](auto at) MOAT_TERM { at.Store(y, at(x)); });
}

template <typename T>
void SwiGlu(int64_t rows, int64_t width, const void* gate_up, void* y, const Stream& stream) {
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* gate = static_cast<const T*>(gate_up) + r * 2 * width;
      SwiGluRow(gate, gate + width, static_cast<T*>(y) + r * width, width);
    }
  });
}

template <typename T>
void SwiGluGrad(int64_t rows, int64_t width, const void* gate_up, const void* dy, void* dgate_up,
                const Stream& stream) {
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* gate = static_cast<const T*>(gate_up) + r * 2 * width;
      T* dgate = static_cast<T*>(dgate_up) + r * 2 * width;
      SwiGluGradRow(gate, gate + width, static_cast<const T*>(dy) + r * width, dgate, dgate + width,
                    width);
    }
  });
}

template <typename T>
void Gelu(int64_t count, const void* x, void* y, const Stream& stream) {
  ParallelBlocks(count, kFlatBlock, stream, [&](int64_t begin, int64_t end) {
    GeluRow(static_cast<const T*>(x) + begin, static_cast<T*>(y) + begin, end - begin);
  });
}

template <typename T>
void GeluGrad(int64_t count, const void* x, const void* dy, void* dx, const Stream& stream) {
  ParallelBlocks(count, kFlatBlock, stream, [&](int64_t begin, int64_t end) {
    GeluGradRow(static_cast<const T*>(x) + begin, static_cast<const T*>(dy) + begin,
                static_cast<T*>(dx) + begin, end - begin);
  });
}

// The factors of one row: 0 or 1/(1-rate), eight features from each call of the generator (16 bits
// each).
void DropoutFactors(const DropoutKey& d, int64_t row, int64_t width, float* factors) {
  const int64_t slot = d.first_row + row;
  const uint64_t sample = d.samples[slot / d.seq_len];
  const auto position = static_cast<uint32_t>(slot % d.seq_len);
  const auto threshold = static_cast<uint32_t>(d.rate * 65536.0f);
  const float kept = 1.0f / (1.0f - static_cast<float>(threshold) / 65536.0f);
  for (int64_t i = 0; i < width; i += 8) {
    const auto words =
        core::Philox4x32({static_cast<uint32_t>(i / 8), position, static_cast<uint32_t>(sample),
                          static_cast<uint32_t>(sample >> 32)},
                         {static_cast<uint32_t>(d.key), static_cast<uint32_t>(d.key >> 32)});
    for (int64_t j = 0; j < 8 && i + j < width; ++j) {
      const uint32_t bits = words[static_cast<size_t>(j / 2)] >> (j % 2 * 16) & 0xffffu;
      factors[i + j] = bits < threshold ? 0.0f : kept;
    }
  }
}

template <typename T>
void AddDropout(int64_t rows, int64_t width, const void* x, const void* branch, void* y,
                const DropoutKey& dropout, const Stream& stream) {
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    thread_local std::vector<float> factors;
    factors.resize(static_cast<size_t>(width));
    for (int64_t r = begin; r < end; ++r) {
      const T* from = static_cast<const T*>(x) + r * width;
      const T* add = static_cast<const T*>(branch) + r * width;
      T* to = static_cast<T*>(y) + r * width;
      if (dropout.rate == 0) {
        AddRow(from, add, to, width);
      } else {
        DropoutFactors(dropout, r, width, factors.data());
        AddScaledRow(from, add, factors.data(), to, width);
      }
    }
  });
}

template <typename T>
void Dropout(int64_t rows, int64_t width, void* x, const DropoutKey& dropout,
             const Stream& stream) {
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    thread_local std::vector<float> factors;
    factors.resize(static_cast<size_t>(width));
    for (int64_t r = begin; r < end; ++r) {
      DropoutFactors(dropout, r, width, factors.data());
      ScaleRow(factors.data(), static_cast<T*>(x) + r * width, width);
    }
  });
}

template <typename T>
void Add(int64_t count, const void* x, void* y_void, const Stream& stream) {
  ParallelBlocks(count, kFlatBlock, stream, [&](int64_t begin, int64_t end) {
    T* y = static_cast<T*>(y_void) + begin;
    AddRow(y, static_cast<const T*>(x) + begin, y, end - begin);
  });
}

template <typename T>
void ToF32(int64_t count, const void* x, float* y, const Stream& stream) {
  ParallelBlocks(count, kFlatBlock, stream, [&](int64_t begin, int64_t end) {
    WidenRow(static_cast<const T*>(x) + begin, y + begin, end - begin);
  });
}

template <typename T>
void FromF32(int64_t count, const float* x, void* y, const Stream& stream) {
  ParallelBlocks(count, kFlatBlock, stream, [&](int64_t begin, int64_t end) {
    RoundRow(x + begin, static_cast<T*>(y) + begin, end - begin);
  });
}

}  // namespace

template <typename T>
void FillActivation(KernelTable& table) {
  table.swiglu = SwiGlu<T>;
  table.swiglu_grad = SwiGluGrad<T>;
  table.gelu = Gelu<T>;
  table.gelu_grad = GeluGrad<T>;
  table.add_dropout = AddDropout<T>;
  table.dropout = Dropout<T>;
  table.add = Add<T>;
  table.to_f32 = ToF32<T>;
  table.from_f32 = FromF32<T>;
}

template void FillActivation<float>(KernelTable&);
template void FillActivation<core::BFloat16>(KernelTable&);

}  // namespace moat::tensor::cpu
