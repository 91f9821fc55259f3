// Tiles of attention in shared memory, and products of them over a warp: what the kernels of
// attention are made of, forward and backward, in f32 and in bf16.
//
// A warp holds one or two tiles of 16 rows of a result in registers: with two, what it reads of the
// other factor serves twice. In bf16 products are those of tensor cores with
// f32 sums; in f32 they are plain sums, in the same arrangement, so that kernels are written once.
#pragma once

#include <cstdint>

#include "tensor/cuda/element.cuh"
#include "tensor/cuda/instruction.cuh"
#include "tensor/cuda/reduce.cuh"

namespace moat::tensor::cuda {

inline constexpr int kAttentionThreads = 128;
inline constexpr int kTileRows = 16;

// How many tiles of rows a warp of the block's warps holds, and so the rows that a block owns, of
// results kWidth wide. More do not fit into registers.
template <typename T, int kWidth>
inline constexpr int kRowTiles = sizeof(T) == 2 && kWidth <= 128 ? 2 : 1;
// Blocks that a multiprocessor is to hold at once: what registers are shared out for.
template <int kWidth>
inline constexpr int kBlocksAtOnce = kWidth <= 64 ? 3 : 1;
template <int kTiles>
inline constexpr int kWarpRows = kTiles* kTileRows;
template <int kTiles>
inline constexpr int kBlockRows = kAttentionThreads / 32 * kWarpRows<kTiles>;

// Elements from row to row of a tile: 16 bytes more than its width, so that the rows that a warp
// reads at once lie in different banks. A row begins at a multiple of 16 bytes.
template <typename T, int kWidth>
inline constexpr int kPitch = kWidth + kVector<T>;

__device__ inline int LaneId() { return static_cast<int>(threadIdx.x % 32); }
__device__ inline int WarpId() { return static_cast<int>(threadIdx.x / 32); }

// 16 rows of a result, kColumns wide, over a warp. Value (j, i) of a lane is that of RowOf(i) and
// ColumnOf(j, i).
template <int kColumns>
struct Accumulator {
  float value[kColumns / 8][4] = {};
};
__device__ inline int RowOf(int i) { return LaneId() / 4 + i / 2 * 8; }
__device__ inline int ColumnOf(int j, int i) { return 8 * j + LaneId() % 4 * 2 + i % 2; }

// Rows of a matrix (the first `rows` of kRows there are, `stride` apart, `width` of kWidth elements
// each) to a tile; what is missing becomes zero. By the whole block. `wide`: rows may be read in
// pieces of 16 bytes.
template <int kRows, int kWidth, typename T>
__device__ inline void LoadTile(const T* from, int rows, int64_t stride, int width, bool wide,
                                T* tile) {
  constexpr int kPieces = kWidth / kVector<T>;
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kPieces; i += kAttentionThreads) {
    const int row = i / kPieces, column = i % kPieces * kVector<T>;
    T* const to = tile + row * kPitch<T, kWidth> + column;
    const T* const at = from + row * stride + column;
    uint4 piece = {0, 0, 0, 0};
    if (wide && row < rows && column < width) piece = *reinterpret_cast<const uint4*>(at);
    *reinterpret_cast<uint4*>(to) = piece;
    if (wide || row >= rows) continue;
    for (int e = 0; e < kVector<T> && column + e < width; ++e) to[e] = at[e];
  }
}

// The same, begun: complete after WaitForCopies() and a barrier, before which nobody may use the
// tile. Rows that cannot be read in pieces are there at once.
template <int kRows, int kWidth, typename T>
__device__ inline void LoadTileLater(const T* from, int rows, int64_t stride, int width, bool wide,
                                     T* tile) {
  if (!wide) return LoadTile<kRows, kWidth>(from, rows, stride, width, wide, tile);
  constexpr int kPieces = kWidth / kVector<T>;
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kPieces; i += kAttentionThreads) {
    const int row = i / kPieces, column = i % kPieces * kVector<T>;
    const bool there = row < rows && column < width;
    CopyLater(tile + row * kPitch<T, kWidth> + column, there ? from + row * stride + column : from,
              there);
  }
}

// kRows rows of a tile to a matrix, as LoadTile reads it. By a warp.
template <int kRows, int kWidth, typename T>
__device__ inline void StoreRows(const T* tile, int rows, int64_t stride, int width, bool wide,
                                 T* to) {
  constexpr int kPieces = kWidth / kVector<T>;
  for (int i = LaneId(); i < kRows * kPieces; i += 32) {
    const int row = i / kPieces, column = i % kPieces * kVector<T>;
    if (row >= rows || column >= width) continue;
    const T* const from = tile + row * kPitch<T, kWidth> + column;
    T* const at = to + row * stride + column;
    if (wide) {
      *reinterpret_cast<uint4*>(at) = *reinterpret_cast<const uint4*>(from);
    } else {
      for (int e = 0; e < kVector<T> && column + e < width; ++e) at[e] = from[e];
    }
  }
}

// A result, rounded, to 16 rows of a tile. Lanes read each other's after __syncwarp().
template <int kColumns>
__device__ inline void PutRows(const Accumulator<kColumns>& c, float* tile) {
#pragma unroll
  for (int j = 0; j < kColumns / 8; ++j) {
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      float* const to = tile + RowOf(i) * kPitch<float, kColumns> + ColumnOf(j, i);
      *reinterpret_cast<float2*>(to) = {c.value[j][i], c.value[j][i + 1]};
    }
  }
}
template <int kColumns>
__device__ inline void PutRows(const Accumulator<kColumns>& c, BFloat16* tile) {
#pragma unroll
  for (int j = 0; j < kColumns / 8; ++j) {
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      BFloat16* const to = tile + RowOf(i) * kPitch<BFloat16, kColumns> + ColumnOf(j, i);
      *reinterpret_cast<uint32_t*>(to) = PackedBFloat16(c.value[j][i], c.value[j][i + 1]);
    }
  }
}

// As above, of all of a warp's tiles of rows.
template <int kColumns, int kTiles, typename T>
__device__ inline void PutRows(const Accumulator<kColumns> (&c)[kTiles], T* tile) {
#pragma unroll
  for (int m = 0; m < kTiles; ++m) PutRows(c[m], tile + m * kTileRows * kPitch<T, kColumns>);
}

// The left factors of products: rows [k, k + 16) along the depth of each of kTiles tiles of rows.
template <int kDepth, int kTiles>
__device__ inline void LoadLeft(const BFloat16* a, int k, uint32_t (&left)[kTiles][4]) {
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
    const int row = m * kTileRows + LaneId() % 16;
    LoadMatrices(a + row * kPitch<BFloat16, kDepth> + k + LaneId() / 16 * 8, left[m]);
  }
}

// Two neighbouring blocks of 8 columns, of all tiles of rows.
template <int kColumns, int kTiles>
__device__ inline void MultiplyAddPair(const uint32_t (&left)[kTiles][4],
                                       const uint32_t (&right)[4], int block,
                                       Accumulator<kColumns> (&c)[kTiles]) {
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
    MultiplyAdd(left[m], {right[0], right[1]}, c[m].value[block]);
    MultiplyAdd(left[m], {right[2], right[3]}, c[m].value[block + 1]);
  }
}

// c [16 kTiles, kColumns] += a [16 kTiles, kDepth] b^T, b [kColumns, kDepth]; a and b are tiles.
template <int kDepth, int kColumns, int kTiles>
__device__ inline void MultiplyByRows(const BFloat16* a, const BFloat16* b,
                                      Accumulator<kColumns> (&c)[kTiles]) {
  const int lane = LaneId();
#pragma unroll
  for (int k = 0; k < kDepth; k += 16) {
    uint32_t left[kTiles][4];
    LoadLeft<kDepth>(a, k, left);
#pragma unroll
    for (int n = 0; n < kColumns; n += 16) {
      uint32_t right[4];
      const int row = n + lane % 8 + lane / 16 * 8;
      LoadMatrices(b + row * kPitch<BFloat16, kDepth> + k + lane / 8 % 2 * 8, right);
      MultiplyAddPair(left, right, n / 8, c);
    }
  }
}

// c [16 kTiles, kColumns] += a [16 kTiles, kDepth] b, b [kDepth, kColumns]; a and b are tiles.
template <int kDepth, int kColumns, int kTiles>
__device__ inline void MultiplyByColumns(const BFloat16* a, const BFloat16* b,
                                         Accumulator<kColumns> (&c)[kTiles]) {
  const int lane = LaneId();
#pragma unroll
  for (int k = 0; k < kDepth; k += 16) {
    uint32_t left[kTiles][4];
    LoadLeft<kDepth>(a, k, left);
#pragma unroll
    for (int n = 0; n < kColumns; n += 16) {
      uint32_t right[4];
      const BFloat16* const row = b + (k + lane % 16) * kPitch<BFloat16, kColumns>;
      LoadMatricesTransposed(row + n + lane / 16 * 8, right);
      MultiplyAddPair(left, right, n / 8, c);
    }
  }
}

__device__ inline float4 FourAt(const float* at) { return *reinterpret_cast<const float4*>(at); }
__device__ inline float Dot(float4 a, float4 b, float sum) {
  return sum + a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
}

template <int kDepth, int kColumns>
__device__ inline void MultiplyByRows(const float* a, const float* b,
                                      Accumulator<kColumns> (&tiles)[1]) {
  Accumulator<kColumns>& c = tiles[0];
  constexpr int kRow = kPitch<float, kDepth>;
  for (int k = 0; k < kDepth; k += 4) {
    const float4 upper = FourAt(a + RowOf(0) * kRow + k), lower = FourAt(a + RowOf(2) * kRow + k);
#pragma unroll
    for (int j = 0; j < kColumns / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float4 right = FourAt(b + ColumnOf(j, i) * kRow + k);
        c.value[j][i] = Dot(upper, right, c.value[j][i]);
        c.value[j][i + 2] = Dot(lower, right, c.value[j][i + 2]);
      }
    }
  }
}

template <int kDepth, int kColumns>
__device__ inline void MultiplyByColumns(const float* a, const float* b,
                                         Accumulator<kColumns> (&tiles)[1]) {
  Accumulator<kColumns>& c = tiles[0];
  for (int k = 0; k < kDepth; ++k) {
    const float upper = a[RowOf(0) * kPitch<float, kDepth> + k];
    const float lower = a[RowOf(2) * kPitch<float, kDepth> + k];
#pragma unroll
    for (int j = 0; j < kColumns / 8; ++j) {
      const float* const at = b + k * kPitch<float, kColumns> + ColumnOf(j, 0);
      const float2 right = *reinterpret_cast<const float2*>(at);
      c.value[j][0] += upper * right.x;
      c.value[j][1] += upper * right.y;
      c.value[j][2] += lower * right.x;
      c.value[j][3] += lower * right.y;
    }
  }
}

}  // namespace moat::tensor::cuda
