// Functions and reductions over rows, with the same bits on every instruction set.
//
// A row kernel says what happens to one element, in terms of an accessor: ForEach and LaneSum run
// it over f32 in plain loops, which compilers vectorise, and over bf16 in explicit vectors of
// sixteen f32, since GCC 12 leaves loops that load and store 16 bits but compute in 32 alone where
// there is no AVX-512 VL. Reductions keep 16 partial sums, whatever the width of the registers;
// nothing is contracted into fused multiply-adds.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/dtype.h"

// Builds a row kernel for each instruction set and picks one at start-up. Sanitizers do not get
// along with that: one build there.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define MOAT_ROW_KERNEL __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define MOAT_ROW_KERNEL
#endif
#define MOAT_INLINE inline __attribute__((always_inline))

// On the lambda of a row kernel: a vector must not cross a call between instruction sets.
#define MOAT_TERM __attribute__((always_inline))

namespace moat::tensor::cpu {

constexpr int kLanes = 16;
using Lanes = float __attribute__((vector_size(4 * kLanes)));
using IntLanes = int32_t __attribute__((vector_size(4 * kLanes)));
using WordLanes = uint32_t __attribute__((vector_size(4 * kLanes)));
using HalfLanes = uint16_t __attribute__((vector_size(2 * kLanes)));

MOAT_INLINE int32_t Bits(float x) { return std::bit_cast<int32_t>(x); }
MOAT_INLINE IntLanes Bits(Lanes x) { return reinterpret_cast<IntLanes>(x); }
MOAT_INLINE float FromBits(int32_t x) { return std::bit_cast<float>(x); }
MOAT_INLINE Lanes FromBits(IntLanes x) { return reinterpret_cast<Lanes>(x); }

// Element i of an array, widened when read, rounded when stored.
struct OneAt {
  int64_t i;

  MOAT_INLINE float operator()(const float* p) const { return p[i]; }
  MOAT_INLINE float operator()(const core::BFloat16* p) const { return static_cast<float>(p[i]); }
  MOAT_INLINE void Store(float* p, float value) const { p[i] = value; }
  MOAT_INLINE void Store(core::BFloat16* p, float value) const { p[i] = core::BFloat16(value); }
};

// Elements i to i + 15.
struct LanesAt {
  int64_t i;

  MOAT_INLINE Lanes operator()(const float* p) const {
    Lanes values;
    std::memcpy(&values, p + i, sizeof(values));
    return values;
  }
  MOAT_INLINE Lanes operator()(const core::BFloat16* p) const {
    HalfLanes upper;
    std::memcpy(&upper, p + i, sizeof(upper));
    return reinterpret_cast<Lanes>(__builtin_convertvector(upper, WordLanes) << 16);
  }
  MOAT_INLINE void Store(float* p, Lanes values) const {
    std::memcpy(p + i, &values, sizeof(values));
  }
  // As BFloat16(value).
  MOAT_INLINE void Store(core::BFloat16* p, Lanes values) const {
    const auto u = reinterpret_cast<WordLanes>(values);
    const WordLanes rounded = (u & 0x7fffffffu) > 0x7f800000u  // NaN stays NaN
                                  ? u | 0x400000u
                                  : u + 0x7fffu + ((u >> 16) & 1u);
    const HalfLanes upper = __builtin_convertvector(rounded >> 16, HalfLanes);
    std::memcpy(static_cast<void*>(p + i), &upper, sizeof(upper));
  }
};

// body(at) for each element in [0, n). T: the narrowest type that body reads or stores.
template <typename T, typename Body>
MOAT_INLINE void ForEach(int64_t n, const Body& body) {
  int64_t i = 0;
  if constexpr (!std::is_same_v<T, float>) {
    for (; i + kLanes <= n; i += kLanes) body(LanesAt{i});
  }
  for (; i < n; ++i) body(OneAt{i});
}

// e^x within 2 ulp for |x| < 87; below that 0x1p-126 or so, above 3e38 or so. Range reduction by ln
// 2 in two parts, then the polynomial of the Cephes library (Moshier), as most vector libraries do.
template <typename V>
MOAT_INLINE V Exp(V x) {
  const V low = V{} - 87.3f, high = V{} + 88.3f;
  x = x < low ? low : x;
  x = x > high ? high : x;
  const V shifted =
      x * 1.44269504f + 12582912.0f;  // 1.5 x 2^23: rounds to an integer in the low bits
  const V n = shifted - 12582912.0f;
  const V r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  V p = V{} + 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const auto exponent = (Bits(shifted) - Bits(12582912.0f)) * (1 << 23);
  return FromBits(Bits(p) + exponent);
}

template <typename V>
MOAT_INLINE V Sigmoid(V x) {
  return 1.0f / (1.0f + Exp(-x));
}

// Sum of term(at) over [0, n): 16 interleaved partial sums, then a tree. T as in ForEach.
template <typename T, typename Term>
MOAT_INLINE float LaneSum(int64_t n, const Term& term) {
  float lane[kLanes] = {};
  int64_t i = 0;
  if constexpr (std::is_same_v<T, float>) {
    for (; i + kLanes <= n; i += kLanes) {
      for (int l = 0; l < kLanes; ++l) lane[l] += term(OneAt{i + l});
    }
  } else {
    Lanes sums = {};
    for (; i + kLanes <= n; i += kLanes) sums += term(LanesAt{i});
    std::memcpy(lane, &sums, sizeof(lane));
  }
  for (int l = 0; i < n; ++i, ++l) lane[l] += term(OneAt{i});
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
  }
  return lane[0];
}

// The largest of x[0, n) and `start`.
MOAT_INLINE float LaneMax(int64_t n, float start, const float* x) {
  float lane[kLanes];
  for (float& value : lane) value = start;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) lane[l] = lane[l] < x[i + l] ? x[i + l] : lane[l];
  }
  for (; i < n; ++i) lane[0] = lane[0] < x[i] ? x[i] : lane[0];
  for (int l = 1; l < kLanes; ++l) lane[0] = lane[0] < lane[l] ? lane[l] : lane[0];
  return lane[0];
}

}  // namespace moat::tensor::cpu
