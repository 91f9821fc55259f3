// SwiGLU, GELU, residual addition, dropout.
#include <vector>

#include "core/rng.h"
#include "tensor/cpu/kernels.h"
#include "tensor/cpu/parallel_for.h"
#include "tensor/cpu/vector_math.h"

namespace moat::tensor::cpu {
namespace {

constexpr int64_t kRowBlock = 16;
constexpr int64_t kFlatBlock = 1 << 14;

MOAT_ROW_KERNEL void SwiGluRow(const float* gate, const float* up, float* y, int64_t width) {
  for (int64_t i = 0; i < width; ++i) y[i] = gate[i] * Sigmoid(gate[i]) * up[i];
}

MOAT_ROW_KERNEL void SwiGluGradRow(const float* gate, const float* up, const float* dy,
                                   float* dgate, float* dup, int64_t width) {
  for (int64_t i = 0; i < width; ++i) {
    const float s = Sigmoid(gate[i]);
    const float silu = gate[i] * s;
    dup[i] = dy[i] * silu;
    dgate[i] = dy[i] * up[i] * (s + silu * (1.0f - s));
  }
}

// sqrt(2/pi) and the cubic term of the approximation.
constexpr float kGeluScale = 0.7978845608f, kGeluCubic = 0.044715f;

// 1 + tanh(u) is 2 sigmoid(2u).
MOAT_ROW_KERNEL void GeluRow(const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float u = kGeluScale * (x[i] + kGeluCubic * x[i] * x[i] * x[i]);
    y[i] = x[i] * Sigmoid(2.0f * u);
  }
}

MOAT_ROW_KERNEL void GeluGradRow(const float* x, const float* dy, float* dx, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float u = kGeluScale * (x[i] + kGeluCubic * x[i] * x[i] * x[i]);
    const float s = Sigmoid(2.0f * u);
    const float slope = kGeluScale * (1.0f + 3.0f * kGeluCubic * x[i] * x[i]);
    dx[i] = dy[i] * (s + 2.0f * x[i] * s * (1.0f - s) * slope);
  }
}

MOAT_ROW_KERNEL void AddRow(const float* x, const float* branch, float* y, int64_t width) {
  for (int64_t i = 0; i < width; ++i) y[i] = x[i] + branch[i];
}

MOAT_ROW_KERNEL void AddScaledRow(const float* x, const float* branch, const float* scale, float* y,
                                  int64_t width) {
  for (int64_t i = 0; i < width; ++i) y[i] = x[i] + branch[i] * scale[i];
}

MOAT_ROW_KERNEL void ScaleRow(const float* scale, float* x, int64_t width) {
  for (int64_t i = 0; i < width; ++i) x[i] *= scale[i];
}

void SwiGlu(int64_t rows, int64_t width, const void* gate_up, void* y, const Stream& stream) {
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* gate = static_cast<const float*>(gate_up) + r * 2 * width;
      SwiGluRow(gate, gate + width, static_cast<float*>(y) + r * width, width);
    }
  });
}

void SwiGluGrad(int64_t rows, int64_t width, const void* gate_up, const void* dy, void* dgate_up,
                const Stream& stream) {
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* gate = static_cast<const float*>(gate_up) + r * 2 * width;
      float* dgate = static_cast<float*>(dgate_up) + r * 2 * width;
      SwiGluGradRow(gate, gate + width, static_cast<const float*>(dy) + r * width, dgate,
                    dgate + width, width);
    }
  });
}

void Gelu(int64_t count, const void* x, void* y, const Stream& stream) {
  ParallelBlocks(count, kFlatBlock, stream, [&](int64_t begin, int64_t end) {
    GeluRow(static_cast<const float*>(x) + begin, static_cast<float*>(y) + begin, end - begin);
  });
}

void GeluGrad(int64_t count, const void* x, const void* dy, void* dx, const Stream& stream) {
  ParallelBlocks(count, kFlatBlock, stream, [&](int64_t begin, int64_t end) {
    GeluGradRow(static_cast<const float*>(x) + begin, static_cast<const float*>(dy) + begin,
                static_cast<float*>(dx) + begin, end - begin);
  });
}

// The factors of one row: 0 or 1/(1-rate), eight features from each call of the generator (16 bits
// each).
void DropoutFactors(const DropoutKey& d, int64_t row, int64_t width, float* factors) {
  const uint64_t sample = d.samples[row / d.seq_len];
  const auto position = static_cast<uint32_t>(row % d.seq_len);
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

void AddDropout(int64_t rows, int64_t width, const void* x, const void* branch, void* y,
                const DropoutKey& dropout, const Stream& stream) {
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    thread_local std::vector<float> factors;
    factors.resize(static_cast<size_t>(width));
    for (int64_t r = begin; r < end; ++r) {
      const float* from = static_cast<const float*>(x) + r * width;
      const float* add = static_cast<const float*>(branch) + r * width;
      float* to = static_cast<float*>(y) + r * width;
      if (dropout.rate == 0) {
        AddRow(from, add, to, width);
      } else {
        DropoutFactors(dropout, r, width, factors.data());
        AddScaledRow(from, add, factors.data(), to, width);
      }
    }
  });
}

void Dropout(int64_t rows, int64_t width, void* x, const DropoutKey& dropout,
             const Stream& stream) {
  ParallelBlocks(rows, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    thread_local std::vector<float> factors;
    factors.resize(static_cast<size_t>(width));
    for (int64_t r = begin; r < end; ++r) {
      DropoutFactors(dropout, r, width, factors.data());
      ScaleRow(factors.data(), static_cast<float*>(x) + r * width, width);
    }
  });
}

void AddF32(int64_t count, const float* x, float* y, const Stream& stream) {
  ParallelBlocks(count, kFlatBlock, stream, [&](int64_t begin, int64_t end) {
    AddRow(y + begin, x + begin, y + begin, end - begin);
  });
}

void Add(int64_t count, const void* x, void* y, const Stream& stream) {
  AddF32(count, static_cast<const float*>(x), static_cast<float*>(y), stream);
}

}  // namespace

void FillActivation(KernelTable& table) {
  table.swiglu = SwiGlu;
  table.swiglu_grad = SwiGluGrad;
  table.gelu = Gelu;
  table.gelu_grad = GeluGrad;
  table.add_dropout = AddDropout;
  table.dropout = Dropout;
  table.add = Add;
}

}  // namespace moat::tensor::cpu
