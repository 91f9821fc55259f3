// The emulator's tensor/cuda/instruction.cuh: the same functions, over a warp of emulated threads.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

namespace moat::tensor::cuda {

inline void* DynamicShared() { return emulator::DynamicShared(); }

namespace emulated {

using Rows = emulator::OfAllLanes<const void*>;

inline float Wide(uint32_t half) { return __uint_as_float(half << 16); }

// Element (row, column) of matrix i of four.
inline uint32_t At(const Rows& rows, int i, int row, int column) {
  uint16_t bits;
  std::memcpy(&bits, static_cast<const char*>(rows[8 * i + row]) + 2 * column, sizeof bits);
  return bits;
}

template <bool kTransposed>
void Load(const void* row, uint32_t (&to)[4], int line) {
  emulator::Expect(reinterpret_cast<uintptr_t>(row) % 16 == 0, "a row of a matrix lies askew");
  const Rows rows(emulator::kAll, row, line);
  const int g = emulator::Lane() / 4, t = 2 * (emulator::Lane() % 4);
  for (int i = 0; i < 4; ++i) {
    to[i] = kTransposed ? At(rows, i, t, g) | At(rows, i, t + 1, g) << 16
                        : At(rows, i, g, t) | At(rows, i, g, t + 1) << 16;
  }
  emulator::SyncWarp(emulator::kAll, line);  // all have read before anyone writes there
}

}  // namespace emulated

template <int kBytes = 16>
void CopyLater(void* to, const void* from, bool there) {
  static_assert(kBytes == 16 || kBytes == 4);
  emulator::Expect(reinterpret_cast<uintptr_t>(to) % kBytes == 0 &&
                       reinterpret_cast<uintptr_t>(from) % kBytes == 0,
                   "a copy to shared memory lies askew");
  std::memset(to, 0xff, kBytes);  // NaN, in any type
  emulator::CopiesOfThread().push_back({to, from, kBytes, there});
}
inline void WaitForCopies() {
  for (const emulator::Copy& copy : emulator::CopiesOfThread()) {
    if (copy.there) {
      std::memcpy(copy.to, copy.from, copy.bytes);
    } else {
      std::memset(copy.to, 0, copy.bytes);
    }
  }
  emulator::CopiesOfThread().clear();
}

inline void LoadMatrices(const void* row, uint32_t (&to)[4], int line = __builtin_LINE()) {
  emulated::Load<false>(row, to, line);
}
inline void LoadMatricesTransposed(const void* row, uint32_t (&to)[4],
                                   int line = __builtin_LINE()) {
  emulated::Load<true>(row, to, line);
}

inline void MultiplyAdd(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&c)[4],
                        int line = __builtin_LINE()) {
  struct Words {
    uint32_t a[4], b[2];
  };
  const Words own{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  const emulator::OfAllLanes<Words> all(emulator::kAll, own, line);
  const int g = emulator::Lane() / 4, t = emulator::Lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const int upper = i / 2, column = 2 * t + i % 2;
    for (int pair = 0; pair < 8; ++pair) {  // along k
      const uint32_t x = all[g * 4 + pair % 4].a[pair / 4 * 2 + upper];
      const uint32_t y = all[column * 4 + pair % 4].b[pair / 4];
      c[i] += emulated::Wide(x & 0xffffu) * emulated::Wide(y & 0xffffu);
      c[i] += emulated::Wide(x >> 16) * emulated::Wide(y >> 16);
    }
  }
}

}  // namespace moat::tensor::cuda
