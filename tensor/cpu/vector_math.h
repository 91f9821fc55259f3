// Functions and reductions over rows, with the same bits on every instruction set.
//
// A row kernel says what happens to one element, in terms of an accessor: ForEach and LaneSum run
// it over f32 in plain loops, which compilers vectorise, and over bf16 in explicit vectors, since
// GCC 12 leaves loops alone that load and store 16 bits but compute in 32. Reductions keep a fixed
// number of partial sums, whatever the width of the registers; nothing is contracted into fused
// multiply-adds.
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

constexpr int kLanes = 16, kPair = 32;
using Lanes = float __attribute__((vector_size(4 * kLanes)));
using IntLanes = int32_t __attribute__((vector_size(4 * kLanes)));
using WordLanes = uint32_t __attribute__((vector_size(4 * kLanes)));
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

// 32 elements: those at even places and those at odd ones. Two bf16 side by side are the halves of
// one 32-bit word, so they come apart and together by shifts and masks alone.
struct Pair {
  Lanes even, odd;
};

#define MOAT_PAIR_OPERATOR(op)                                                                \
  MOAT_INLINE Pair operator op(Pair a, Pair b) { return {a.even op b.even, a.odd op b.odd}; } \
  MOAT_INLINE Pair operator op(float a, Pair b) { return {a op b.even, a op b.odd}; }         \
  MOAT_INLINE Pair operator op(Pair a, float b) { return {a.even op b, a.odd op b}; }
MOAT_PAIR_OPERATOR(+)
MOAT_PAIR_OPERATOR(-)
MOAT_PAIR_OPERATOR(*)
MOAT_PAIR_OPERATOR(/)
#undef MOAT_PAIR_OPERATOR
MOAT_INLINE Pair operator-(Pair a) { return {-a.even, -a.odd}; }

// The upper halves of words hold `values` rounded, as BFloat16(value) does.
MOAT_INLINE WordLanes RoundUpperHalf(Lanes values) {
  const auto u = reinterpret_cast<WordLanes>(values);
  return values != values ? u | 0x400000u : u + 0x7fffu + ((u >> 16) & 1u);  // NaN stays NaN
}

// Elements i to i + 31.
struct PairAt {
  int64_t i;

  MOAT_INLINE Pair operator()(const core::BFloat16* p) const {
    WordLanes words;
    std::memcpy(&words, p + i, sizeof(words));
    return {reinterpret_cast<Lanes>(words << 16), reinterpret_cast<Lanes>(words & 0xffff0000u)};
  }
  MOAT_INLINE Pair operator()(const float* p) const {
    Lanes first, second;
    std::memcpy(&first, p + i, sizeof(first));
    std::memcpy(&second, p + i + kLanes, sizeof(second));
    constexpr IntLanes kEven = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
    return {__builtin_shuffle(first, second, kEven), __builtin_shuffle(first, second, kEven + 1)};
  }
  MOAT_INLINE void Store(core::BFloat16* p, Pair values) const {
    const WordLanes words =
        RoundUpperHalf(values.even) >> 16 | (RoundUpperHalf(values.odd) & 0xffff0000u);
    std::memcpy(static_cast<void*>(p + i), &words, sizeof(words));
  }
  MOAT_INLINE void Store(float* p, Pair values) const {
    constexpr IntLanes kFirst = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
    const Lanes first = __builtin_shuffle(values.even, values.odd, kFirst),
                second = __builtin_shuffle(values.even, values.odd, kFirst + 8);
    std::memcpy(p + i, &first, sizeof(first));
    std::memcpy(p + i + kLanes, &second, sizeof(second));
  }
};

// body(at) for each element in [0, n). T: the narrowest type that body reads or stores.
template <typename T, typename Body>
MOAT_INLINE void ForEach(int64_t n, const Body& body) {
  int64_t i = 0;
  if constexpr (!std::is_same_v<T, float>) {
    for (; i + kPair <= n; i += kPair) body(PairAt{i});
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

MOAT_INLINE Pair Exp(Pair x) { return {Exp(x.even), Exp(x.odd)}; }

template <typename V>
MOAT_INLINE V Sigmoid(V x) {
  return 1.0f / (1.0f + Exp(-x));
}

// Sum of term(at) over [0, n): 16 interleaved partial sums (in bf16 32), then a tree. T as in
// ForEach.
template <typename T, typename Term>
MOAT_INLINE float LaneSum(int64_t n, const Term& term) {
  float lane[kLanes] = {};
  int64_t i = 0;
  if constexpr (std::is_same_v<T, float>) {
    for (; i + kLanes <= n; i += kLanes) {
      for (int l = 0; l < kLanes; ++l) lane[l] += term(OneAt{i + l});
    }
  } else {
    Pair sums = {};
    for (; i + kPair <= n; i += kPair) sums = sums + term(PairAt{i});
    const Lanes both = sums.even + sums.odd;
    std::memcpy(lane, &both, sizeof(lane));
  }
  for (int l = 0; i < n; ++i, ++l) lane[l % kLanes] += term(OneAt{i});
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
