// What the hardware does for a warp or a block and C++ has no name for. In tests
// tests/gpu/emulator/include/tensor/cuda/instruction.cuh stands in for this file.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace moat::tensor::cuda {

// The block's shared memory of the size that Launch() was given.
__device__ inline void* DynamicShared() {
  extern __shared__ uint4 dynamic_shared[];
  return dynamic_shared;
}

// Begins to copy 16 bytes (or 4) from device memory to shared memory, both at multiples of so many,
// or, unless `there`, to fill them with zeros; nothing may read or write them until the thread's
// WaitForCopies() and a barrier. PTX: cp.async; 16 bytes pass by the multiprocessor's cache.
template <int kBytes = 16>
__device__ inline void CopyLater(void* to, const void* from, bool there) {
  static_assert(kBytes == 16 || kBytes == 4);
  const auto at = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at),
                 "l"(__cvta_generic_to_global(from)), "r"(there ? 16 : 0)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(at),
                 "l"(__cvta_generic_to_global(from)), "r"(there ? 4 : 0)
                 : "memory");
  }
}
// Returns when the calling thread's copies are done.
__device__ inline void WaitForCopies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// Of four (two) 8 x 8 matrices of bf16 in shared memory, the 16-byte row that lane 8 i + r names is
// row r of matrix i (of two: lanes 0 to 15). Lane l gets of each the elements (l / 4, 2 (l % 4))
// and the one after it, in one word; `Transposed`: (2 (l % 4), l / 4) and the one below. PTX:
// ldmatrix.
__device__ inline void LoadMatrices(const void* row, uint32_t (&to)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}
__device__ inline void LoadMatricesTransposed(const void* row, uint32_t (&to)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}

// c [16, 8] += a [16, 16] b [16, 8], bf16 with f32 sums, over a warp. Of lane l, with g = l / 4 and
// t = l % 4: c holds (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1); a pairs along k from
// (g, 2t), (g + 8, 2t), (g, 2t + 8), (g + 8, 2t + 8); b pairs along k from (2t, g), (2t + 8, g).
// PTX: mma.m16n8k16.
__device__ inline void MultiplyAdd(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&c)[4]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace moat::tensor::cuda
