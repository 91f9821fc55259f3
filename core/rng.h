// Counter-based random numbers: a pure function of (key, counter), so that any rank can draw any
// number without history.
//
// Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11,
// section 3.3.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace moat::core {

// Ten rounds of Philox4x32. Four uniform 32-bit words for each (counter, key).
std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// A 64-bit finaliser (Stafford's variant 13 of MurmurHash3's): a bijection that mixes all bits.
uint64_t Mix64(uint64_t x);

// A 64-bit key made of a seed and a name; stable across machines and releases.
uint64_t KeyFromName(uint64_t seed, std::string_view name);

// The `index`-th 64 random bits of stream `key`.
uint64_t RandomBits(uint64_t key, uint64_t index);

// Uniform in [0, 1) with 24 bits, exact in f32.
float RandomUniform(uint64_t key, uint64_t index);

// Standard normal by Box and Muller (1958), computed in f64 from 2 x 32 bits.
float RandomNormal(uint64_t key, uint64_t index);

// A pseudo-random permutation of [0, size): position -> value. A six-round Feistel network over the
// next even power of two, walked until the value falls inside (Black and Rogaway, 2002, "cycle
// walking"). O(1) memory, any position without history. REQUIRES: position < size.
uint64_t Permute(uint64_t key, uint64_t size, uint64_t position);

}  // namespace moat::core
