// FP8 on a CPU: scales, codes, and products of what the codes stand for.
//
// Processors have no FP8 products. bf16 holds every number of e4m3 and e5m2, times a power of two
// too, and a product of two of them is exact in f32: so products of such copies are FP8's, to the
// order of sums.
#include "core/float8.h"

#include <algorithm>
#include <array>
#include <bit>
#include <vector>

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/parallel_for.h"
#include "tensor/cpu/vector_math.h"

namespace moat::tensor::cpu {
namespace {

constexpr int64_t kTile = 64;  // rows and columns that are coded and transposed at a time
constexpr int64_t kFlatBlock = 1 << 14;

// As bits without their sign magnitudes have the numbers' order, and NaN is above all.
MOAT_ROW_KERNEL uint32_t LargestMagnitude(const float* x, int64_t n) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    largest = std::max(largest, std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu);
  }
  return largest;
}

MOAT_ROW_KERNEL uint32_t LargestMagnitude(const core::BFloat16* x, int64_t n) {
  uint16_t largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    largest = std::max(largest, static_cast<uint16_t>(x[i].bits & 0x7fffu));
  }
  return static_cast<uint32_t>(largest) << 16;
}

template <typename T>
void ScaleFor(core::DType format, int64_t count, const void* x_void, float* scale,
              const Stream& stream) {
  const auto* x = static_cast<const T*>(x_void);
  thread_local std::vector<uint32_t> largest;  // of each block
  largest.resize(static_cast<size_t>((count + kFlatBlock - 1) / kFlatBlock));
  std::vector<uint32_t>& blocks = largest;  // the threads' own are others
  ParallelBlocks(count, kFlatBlock, stream, [&](int64_t begin, int64_t end) {
    blocks[static_cast<size_t>(begin / kFlatBlock)] = LargestMagnitude(x + begin, end - begin);
  });
  *scale = core::Float8Scale(*std::max_element(blocks.begin(), blocks.end()),
                             core::Float8FormatOf(format).largest_exponent);
}

template <typename T>
MOAT_ROW_KERNEL void Widen(const T* x, float* y, int64_t n) {
  ForEach<T>(n, [&](auto at) MOAT_TERM { at.Store(y, at(x)); });
}

// The format is a constant to the compiler, which is faster.
template <core::DType dtype>
MOAT_ROW_KERNEL void EncodeRow(const float* x, float inverse, uint8_t* y, int64_t n) {
  constexpr core::Float8Format kFormat = core::Float8FormatOf(dtype);
  for (int64_t i = 0; i < n; ++i) y[i] = core::EncodeFloat8(x[i] * inverse, kFormat);
}

template <typename T>
void Quantize(core::DType dtype, int64_t rows, int64_t columns, const void* x_void,
              const float* scale, uint8_t* values, uint8_t* transposed, const Stream& stream) {
  const auto* x = static_cast<const T*>(x_void);
  const auto encode =
      dtype == core::DType::kE4M3 ? EncodeRow<core::DType::kE4M3> : EncodeRow<core::DType::kE5M2>;
  const float inverse = 1.0f / *scale;
  ParallelBlocks(rows, kTile, stream, [&](int64_t begin, int64_t end) {
    float wide[kTile];
    uint8_t codes[kTile][kTile];
    for (int64_t first = 0; first < columns; first += kTile) {
      const int64_t n = std::min(kTile, columns - first);
      for (int64_t row = begin; row < end; ++row) {
        Widen(x + row * columns + first, wide, n);
        uint8_t* const to = codes[row - begin];
        encode(wide, inverse, to, n);
        if (values) std::copy_n(to, n, values + row * columns + first);
      }
      if (!transposed) continue;
      for (int64_t column = 0; column < n; ++column) {
        uint8_t* const to = transposed + (first + column) * rows;
        for (int64_t row = begin; row < end; ++row) to[row] = codes[row - begin][column];
      }
    }
  });
}

using Numbers = std::array<core::BFloat16, 256>;

// What each code stands for.
Numbers NumbersOf(core::DType dtype, float scale) {
  Numbers numbers;
  for (size_t code = 0; code < numbers.size(); ++code) {
    const float value = core::DecodeFloat8(static_cast<uint8_t>(code), core::Float8FormatOf(dtype));
    numbers[code] = core::BFloat16(value * scale);
  }
  return numbers;
}

void Decode(core::DType dtype, int64_t count, const void* codes_void, float scale,
            std::vector<core::BFloat16>& y, const Stream& stream) {
  y.resize(static_cast<size_t>(count));
  const auto* codes = static_cast<const uint8_t*>(codes_void);
  const Numbers numbers = NumbersOf(dtype, scale);
  ParallelBlocks(count, kFlatBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[static_cast<size_t>(i)] = numbers[codes[i]];
  });
}

void ScaledMatMul(const ScaledProduct& p, const Stream& stream) {
  thread_local std::vector<core::BFloat16> of_a, of_b;  // kept from call to call
  Decode(p.a_dtype, p.m * p.k, p.a, *p.a_scale, of_a, stream);
  Decode(core::DType::kE4M3, p.n * p.k, p.b, *p.b_scale, of_b, stream);
  CpuKernels(core::DType::kBF16)
      .matmul(false, true, p.m, p.n, p.k, of_a.data(), of_b.data(), p.bias, p.c, p.c_is_f32,
              p.accumulate, stream);
}

}  // namespace

template <typename T>
void FillFloat8(KernelTable& table) {
  table.scale_for = ScaleFor<T>;
  table.quantize = Quantize<T>;
  table.scaled_matmul = std::is_same_v<T, core::BFloat16> ? ScaledMatMul : nullptr;
}

template void FillFloat8<float>(KernelTable&);
template void FillFloat8<core::BFloat16>(KernelTable&);

}  // namespace moat::tensor::cpu
