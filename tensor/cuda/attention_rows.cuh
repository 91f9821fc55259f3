// Rows of a sequence as attention's kernels load them: spans, keys with their values, and what a
// lane knows of its queries. Forward and backward alike.
#pragma once

#include "tensor/cuda/attention.h"
#include "tensor/cuda/attention_tile.cuh"

namespace moat::tensor::cuda {

// Spans of queries [begin, begin + queries), into shared memory; the first key that one of them
// sees. By the whole block, which may read `spans` afterwards.
template <typename T>
__device__ inline int LoadSpans(const AttentionArguments<T>& a, int64_t row, int begin, int queries,
                                int32_t* spans) {
  for (int i = static_cast<int>(threadIdx.x); i < queries; i += kAttentionThreads) {
    spans[i] = a.span_start[row * a.seq_len + begin + i];
  }
  __syncthreads();
  int first = begin;
  for (int i = 0; i < queries; ++i) first = min(first, spans[i]);
  return first;
}

// Slots [from, from + rows) of a key/value head, to tiles of kRows. By the whole block.
template <int kRows, int kWidth, typename T>
__device__ inline void LoadKeysAndValues(const AttentionArguments<T>& a, int64_t row, int from,
                                         int kv_head, int rows, T* keys, T* values) {
  LoadTile<kRows, kWidth>(a.qkv + a.InQkv(row, from, a.KeyHead(kv_head)), rows, a.stride(),
                          a.head_width, a.wide, keys);
  LoadTile<kRows, kWidth>(a.qkv + a.InQkv(row, from, a.ValueHead(kv_head)), rows, a.stride(),
                          a.head_width, a.wide, values);
}

// A lane's queries: two of each tile of rows of its warp. Those that are not there see nothing.
template <int kTiles>
struct LaneQueries {
  int slot[kTiles][2], span[kTiles][2];

  __device__ LaneQueries(int begin, int queries, int seq_len, const int32_t* spans) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int at = WarpId() * kWarpRows<kTiles> + m * kTileRows + RowOf(2 * half);
        slot[m][half] = begin + at;
        span[m][half] = at < queries ? spans[at] : seq_len;
      }
    }
  }
  __device__ bool Sees(int m, int half, int key) const {
    return key <= slot[m][half] && key >= span[m][half];
  }
};

}  // namespace moat::tensor::cuda
