// Scalar functions and reductions written so that the compiler vectorises them, with the same bits
// on every instruction set.
//
// Reductions keep 16 partial sums, whatever the width of the registers; nothing is contracted into
// fused multiply-adds.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "core/dtype.h"

// Builds a row kernel for each instruction set and picks one at start-up. Sanitizers do not get
// along with that: one build there.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define MOAT_ROW_KERNEL __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define MOAT_ROW_KERNEL
#endif
#define MOAT_INLINE inline __attribute__((always_inline))

namespace moat::tensor::cpu {

MOAT_INLINE float Load(const float* p) { return *p; }
MOAT_INLINE float Load(const core::BFloat16* p) {
  return std::bit_cast<float>(static_cast<uint32_t>(p->bits) << 16);
}
MOAT_INLINE void Store(float* p, float value) { *p = value; }
MOAT_INLINE void Store(core::BFloat16* p, float value) { *p = core::BFloat16(value); }

// e^x within 2 ulp for |x| < 87; below that 0x1p-126 or so, above 3e38 or so. Range reduction by ln
// 2 in two parts, then the polynomial of the Cephes library (Moshier), as most vector libraries do.
MOAT_INLINE float Exp(float x) {
  x = x < -87.3f ? -87.3f : x;
  x = x > 88.3f ? 88.3f : x;
  const float shifted =
      x * 1.44269504f + 12582912.0f;  // 1.5 x 2^23: rounds to an integer in the low bits
  const float n = shifted - 12582912.0f;
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const int32_t exponent =
      (std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(12582912.0f)) * (1 << 23);
  return std::bit_cast<float>(std::bit_cast<int32_t>(p) + exponent);
}

MOAT_INLINE float Sigmoid(float x) { return 1.0f / (1.0f + Exp(-x)); }

constexpr int kLanes = 16;

// Sum of term(i) for i in [0, n): 16 interleaved partial sums, then a tree.
template <typename Term>
MOAT_INLINE float LaneSum(int64_t n, const Term& term) {
  float lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) lane[l] += term(i + l);
  }
  for (int l = 0; i < n; ++i, ++l) lane[l] += term(i);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
  }
  return lane[0];
}

template <typename Term>
MOAT_INLINE float LaneMax(int64_t n, float start, const Term& term) {
  float lane[kLanes];
  for (float& value : lane) value = start;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const float value = term(i + l);
      lane[l] = lane[l] < value ? value : lane[l];
    }
  }
  for (; i < n; ++i) lane[0] = lane[0] < term(i) ? term(i) : lane[0];
  for (int l = 1; l < kLanes; ++l) lane[0] = lane[0] < lane[l] ? lane[l] : lane[0];
  return lane[0];
}

// y = x rounded, as BFloat16(x[i]): sixteen at a time, since compilers do not find it.
MOAT_INLINE void Round(const float* x, core::BFloat16* y, int64_t n) {
  using Words = uint32_t __attribute__((vector_size(4 * kLanes)));
  using Halves = uint16_t __attribute__((vector_size(2 * kLanes)));
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Words u;
    std::memcpy(&u, x + i, sizeof(u));
    const Words rounded = (u & 0x7fffffffu) > 0x7f800000u  // NaN stays NaN
                              ? u | 0x400000u
                              : u + 0x7fffu + ((u >> 16) & 1u);
    const Halves upper = __builtin_convertvector(rounded >> 16, Halves);
    std::memcpy(static_cast<void*>(y + i), &upper, sizeof(upper));
  }
  for (; i < n; ++i) Store(y + i, x[i]);
}

constexpr int64_t kStoreBlock = 512;

// y[i] = term(i) for i in [0, n). A loop that computes in 32 bits and stores 16 is not vectorised
// without AVX-512 VL, so what is rounded goes through a block of f32. term may read y at i.
template <typename Term>
MOAT_INLINE void StoreRow(float* y, int64_t n, const Term& term) {
  for (int64_t i = 0; i < n; ++i) y[i] = term(i);
}
template <typename Term>
MOAT_INLINE void StoreRow(core::BFloat16* y, int64_t n, const Term& term) {
  float block[kStoreBlock];
  for (int64_t begin = 0; begin < n; begin += kStoreBlock) {
    const int64_t count = n - begin < kStoreBlock ? n - begin : kStoreBlock;
    for (int64_t i = 0; i < count; ++i) block[i] = term(begin + i);
    Round(block, y + begin, count);
  }
}

}  // namespace moat::tensor::cpu
