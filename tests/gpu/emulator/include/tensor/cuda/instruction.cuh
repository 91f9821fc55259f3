// The emulator's tensor/cuda/instruction.cuh: the same functions, over a warp of emulated threads.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

namespace moat::tensor::cuda {

inline void* DynamicShared() { return emulator::DynamicShared(); }

namespace emulated {

// Element (row, column) of an 8 x 8 matrix of bf16 whose rows start at rows[0..8).
inline uint32_t At(const void* const* rows, int row, int column) {
  uint16_t bits;
  std::memcpy(&bits, static_cast<const char*>(rows[row]) + 2 * column, sizeof bits);
  return bits;
}

inline float Wide(uint32_t half) { return __uint_as_float(half << 16); }

}  // namespace emulated

inline void LoadMatrices(const void* row, uint32_t (&to)[4], int line = __builtin_LINE()) {
  emulator::Expect(reinterpret_cast<uintptr_t>(row) % 16 == 0, "a row of LoadMatrices lies askew");
  const auto rows = emulator::OfAllLanes(emulator::kAll, row, line);
  const int g = emulator::Lane() / 4, t = emulator::Lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const void* const* matrix = rows.data() + 8 * i;
    to[i] = emulated::At(matrix, g, 2 * t) | emulated::At(matrix, g, 2 * t + 1) << 16;
  }
  emulator::SyncWarp(emulator::kAll, line);  // all have read before anyone writes there
}

inline void LoadMatricesTransposed(const void* row, uint32_t (&to)[4],
                                   int line = __builtin_LINE()) {
  emulator::Expect(reinterpret_cast<uintptr_t>(row) % 16 == 0, "a row of LoadMatrices lies askew");
  const auto rows = emulator::OfAllLanes(emulator::kAll, row, line);
  const int g = emulator::Lane() / 4, t = emulator::Lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const void* const* matrix = rows.data() + 8 * i;
    to[i] = emulated::At(matrix, 2 * t, g) | emulated::At(matrix, 2 * t + 1, g) << 16;
  }
  emulator::SyncWarp(emulator::kAll, line);
}

inline void MultiplyAdd(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&c)[4],
                        int line = __builtin_LINE()) {
  struct Words {
    uint32_t a[4], b[2];
  };
  const auto all =
      emulator::OfAllLanes(emulator::kAll, Words{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}}, line);
  const int g = emulator::Lane() / 4, t = emulator::Lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const int upper = i / 2, column = 2 * t + i % 2;
    for (int k = 0; k < 16; ++k) {
      const int of_pair = k % 8 / 2, high = k / 8;
      const uint32_t x = all[g * 4 + of_pair].a[2 * high + upper] >> (k % 2 * 16) & 0xffffu;
      const uint32_t y = all[column * 4 + of_pair].b[high] >> (k % 2 * 16) & 0xffffu;
      c[i] += emulated::Wide(x) * emulated::Wide(y);
    }
  }
}

}  // namespace moat::tensor::cuda
