// Elements of a table's type as f32, one at a time or in packs of up to 16 bytes.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

namespace moat::tensor::cuda {

using BFloat16 = __nv_bfloat16;

__device__ inline float Load(const float* x) { return *x; }
__device__ inline float Load(const BFloat16* x) { return __bfloat162float(*x); }
__device__ inline void Store(float value, float* to) { *to = value; }
__device__ inline void Store(float value, BFloat16* to) { *to = __float2bfloat16_rn(value); }

// Elements of 16 bytes.
template <typename T>
inline constexpr int kVector = 16 / sizeof(T);

// Two bf16 side by side in a word, the first in its lower half.
__device__ inline uint32_t PackedBFloat16(float first, float second) {
  const __nv_bfloat162 both = __floats2bfloat162_rn(first, second);
  return *reinterpret_cast<const uint32_t*>(&both);
}
__device__ inline float FirstOf(uint32_t word) { return __uint_as_float(word << 16); }
__device__ inline float SecondOf(uint32_t word) { return __uint_as_float(word & 0xffff0000u); }

// Words of 4 bytes to and from floats.
__device__ inline void Unpack(const uint32_t* words, float* to, int count, const float*) {
#pragma unroll
  for (int i = 0; i < count; ++i) to[i] = __uint_as_float(words[i]);
}
__device__ inline void Unpack(const uint32_t* words, float* to, int count, const BFloat16*) {
#pragma unroll
  for (int i = 0; i < count / 2; ++i) {
    to[2 * i] = FirstOf(words[i]);
    to[2 * i + 1] = SecondOf(words[i]);
  }
}
__device__ inline void PackInto(const float* from, uint32_t* words, int count, const float*) {
#pragma unroll
  for (int i = 0; i < count; ++i) words[i] = __float_as_uint(from[i]);
}
__device__ inline void PackInto(const float* from, uint32_t* words, int count, const BFloat16*) {
#pragma unroll
  for (int i = 0; i < count / 2; ++i) words[i] = PackedBFloat16(from[2 * i], from[2 * i + 1]);
}

// `kStep` neighbours: one, or a pack that is read and written in pieces of 16 bytes, or of 8 where
// it has no more. REQUIRES: an address that is a multiple of the piece.
template <int kStep, typename T>
__device__ inline void LoadPack(const T* from, float (&to)[kStep]) {
  constexpr int kBytes = kStep * static_cast<int>(sizeof(T));
  if constexpr (kStep == 1) {
    to[0] = Load(from);
  } else if constexpr (kBytes == 8) {
    const uint2 piece = *reinterpret_cast<const uint2*>(from);
    const uint32_t words[2] = {piece.x, piece.y};
    Unpack(words, to, kStep, from);
  } else {
    static_assert(kBytes % 16 == 0);
    constexpr int kOfEach = kVector<T>;
#pragma unroll
    for (int i = 0; i < kBytes / 16; ++i) {
      const uint4 piece = reinterpret_cast<const uint4*>(from)[i];
      const uint32_t words[4] = {piece.x, piece.y, piece.z, piece.w};
      Unpack(words, to + i * kOfEach, kOfEach, from);
    }
  }
}

template <int kStep, typename T>
__device__ inline void StorePack(const float (&from)[kStep], T* to) {
  constexpr int kBytes = kStep * static_cast<int>(sizeof(T));
  if constexpr (kStep == 1) {
    Store(from[0], to);
  } else if constexpr (kBytes == 8) {
    uint32_t words[2];
    PackInto(from, words, kStep, to);
    *reinterpret_cast<uint2*>(to) = {words[0], words[1]};
  } else {
    static_assert(kBytes % 16 == 0);
    constexpr int kOfEach = kVector<T>;
#pragma unroll
    for (int i = 0; i < kBytes / 16; ++i) {
      uint32_t words[4];
      PackInto(from + i * kOfEach, words, kOfEach, to);
      reinterpret_cast<uint4*>(to)[i] = {words[0], words[1], words[2], words[3]};
    }
  }
}

// May all of these be read and written in pieces of 16 bytes? Null is no memory.
template <typename... Pointers>
inline bool Aligned(Pointers... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

}  // namespace moat::tensor::cuda
