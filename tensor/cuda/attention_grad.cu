// Causal attention inside spans, backward, by recomputation (Dao et al., "FlashAttention", 2022,
// algorithm 4): one kernel for keys and values, in which a block owns a tile of keys and looks at
// all queries, and one for queries, in which a block owns a tile of queries and looks at all keys.
// No two blocks write to one place, so bits do not depend on who comes first.
#include <algorithm>

#include "tensor/cuda/attention.h"
#include "tensor/cuda/attention_plans.h"
#include "tensor/cuda/attention_queries.cuh"
#include "tensor/cuda/attention_rows.cuh"
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/launch.h"

namespace moat::tensor::cuda {
namespace {

// Tiles of the other side are loaded while the block computes where two of them fit beside as many
// blocks as before: in bf16, up to 128 wide.
template <typename T, int kWidth>
inline constexpr int kStages = sizeof(T) == 2 && kWidth <= 128 ? 2 : 1;

// delta = the sum of dout * out over a head: a warp for each. It is what a query's probabilities
// have in common, but for the rounding of out.
template <typename T>
__global__ void __launch_bounds__(kAttentionThreads)
    DeltaKernel(const AttentionArguments<T> a, const T* out, int64_t slots) {
  const int64_t index =
      static_cast<int64_t>(blockIdx.x) * (kAttentionThreads / 32) + WarpId();  // slot, head
  if (index >= slots * a.heads) return;
  const int64_t at = index * a.head_width;
  float sum = 0;
  for (int i = LaneId(); i < a.head_width; i += 32) {
    sum += Load(a.dout + at + i) * Load(out + at + i);
  }
  sum = OverLanes<Sum>(sum);
  const int64_t slot = index / a.heads;
  const int head = static_cast<int>(index % a.heads);
  if (LaneId() == 0) {
    a.delta[a.InSums(slot / a.seq_len, static_cast<int>(slot % a.seq_len), head)] = sum;
  }
}

// Gradients of keys and values together fill the registers: one tile of rows a warp. Of heads wider
// than 128 they do not fit together, and a launch computes one of them.
enum class KeyGrads { kBoth, kKeys, kValues };
constexpr int kKeys = kBlockRows<1>;

template <typename T, int kWidth>
struct KeyTiles {
  T k[kKeys * kPitch<T, kWidth>], v[kKeys * kPitch<T, kWidth>];
  OtherQueries<T, kWidth> others[kStages<T, kWidth>];
  T p[kKeys * kPitch<T, kOthers>];  // a warp's rows are its own
};

// What one tile of queries adds to the warp's keys and values. Scores are transposed here: a row is
// a key, a column a query.
template <KeyGrads kGrads, typename T, int kWidth>
__device__ inline void AddQueries(const AttentionArguments<T>& a, KeyTiles<T, kWidth>& tiles,
                                  const OtherQueries<T, kWidth>& others, int key0, int query0,
                                  int queries, Accumulator<kWidth> (&dk)[1],
                                  Accumulator<kWidth> (&dv)[1]) {
  const int own_rows = WarpId() * kTileRows;
  T* const own_p = tiles.p + own_rows * kPitch<T, kOthers>;
  Accumulator<kOthers> p[1], ds[1];
  MultiplyByRows<kWidth>(tiles.k + own_rows * kPitch<T, kWidth>, others.q, p);
  if constexpr (kGrads != KeyGrads::kValues) {
    MultiplyByRows<kWidth>(tiles.v + own_rows * kPitch<T, kWidth>, others.dout, ds);
  }
#pragma unroll
  for (int j = 0; j < kOthers / 8; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int key = key0 + own_rows + RowOf(i), query = ColumnOf(j, i);
      const bool seen = query < queries && key <= query0 + query && key >= others.spans[query];
      const float log2_p =
          p[0].value[j][i] * (a.scale * kLog2OfE) - others.log_sum[query] * kLog2OfE;
      p[0].value[j][i] = seen ? exp2f(log2_p) : 0.0f;
      ds[0].value[j][i] =
          seen ? p[0].value[j][i] * (ds[0].value[j][i] - others.delta[query]) * a.scale : 0.0f;
    }
  }
  if constexpr (kGrads != KeyGrads::kKeys) {
    PutRows(p, own_p);
    __syncwarp();
    MultiplyByColumns<kOthers>(own_p, others.dout, dv);
    if constexpr (kGrads == KeyGrads::kBoth) __syncwarp();  // read before it is written again
  }
  if constexpr (kGrads != KeyGrads::kValues) {
    PutRows(ds, own_p);
    __syncwarp();
    MultiplyByColumns<kOthers>(own_p, others.q, dk);
  }
}

// Block (tile of keys, key/value head, row).
template <typename T, int kWidth, KeyGrads kGrads>
__global__ void __launch_bounds__(kAttentionThreads, kBlocksAtOnce<kWidth>)
    KeyGradKernel(const AttentionArguments<T> a) {
  KeyTiles<T, kWidth>& tiles = *static_cast<KeyTiles<T, kWidth>*>(DynamicShared());
  const int begin = static_cast<int>(blockIdx.x) * kKeys;
  const int kv_head = static_cast<int>(blockIdx.y);
  const int64_t row = blockIdx.z;
  const int keys = min(kKeys, a.seq_len - begin);
  LoadKeysAndValues<kKeys, kWidth>(a, row, begin, kv_head, keys, tiles.k, tiles.v);
  Accumulator<kWidth> dk[1], dv[1];
  constexpr bool kAhead = kStages<T, kWidth> == 2;
  QueryCursor<T> cursor(a, row, kv_head, begin, keys);
  bool there = cursor.Advance();
  if (there) cursor.Load(tiles.others[0]);
  for (int stage = 0; there; stage = kAhead ? 1 - stage : 0) {
    WaitForCopies();
    __syncthreads();  // the tile is there, and the one before was read
    const int from = cursor.from(), queries = cursor.queries();
    there = cursor.Advance();
    if (kAhead && there) cursor.Load(tiles.others[1 - stage]);
    AddQueries<kGrads>(a, tiles, tiles.others[stage], begin, from, queries, dk, dv);
    if (kAhead || !there) continue;
    __syncthreads();  // the tile was read
    cursor.Load(tiles.others[0]);
  }
  const int own_rows = WarpId() * kTileRows;
  T* const own_k = tiles.k + own_rows * kPitch<T, kWidth>;
  T* const own_v = tiles.v + own_rows * kPitch<T, kWidth>;
  __syncthreads();  // the tiles were loaded, and read: their place is free
  const auto store = [&](const Accumulator<kWidth>(&grad)[1], T* place, int head) {
    PutRows(grad, place);
    __syncwarp();
    StoreRows<kTileRows, kWidth>(place, keys - own_rows, a.stride(), a.head_width, a.wide,
                                 a.dqkv + a.InQkv(row, begin + own_rows, head));
  };
  if constexpr (kGrads != KeyGrads::kValues) store(dk, own_k, a.KeyHead(kv_head));
  if constexpr (kGrads != KeyGrads::kKeys) store(dv, own_v, a.ValueHead(kv_head));
}

template <typename T, int kWidth>
struct QueryTiles {
  static constexpr int kQueries = kBlockRows<kRowTiles<T, kWidth>>;
  T q[kQueries * kPitch<T, kWidth>], dout[kQueries * kPitch<T, kWidth>];
  T k[kStages<T, kWidth>][kOthers * kPitch<T, kWidth>], v[kOthers * kPitch<T, kWidth>];
  T ds[kQueries * kPitch<T, kOthers>];  // a warp's rows are its own
  int32_t spans[kQueries];
};

// log_sum, in units of ln 2, and delta of a lane's queries.
template <int kTiles>
struct LaneSums {
  float log_sum[kTiles][2], delta[kTiles][2];

  template <typename T>
  __device__ LaneSums(const AttentionArguments<T>& a, const LaneQueries<kTiles>& own, int64_t row,
                      int head, int end) {
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const bool there = own.slot[m][half] < end;
        const int64_t at = a.InSums(row, own.slot[m][half], head);
        log_sum[m][half] = there ? a.log_sum[at] * kLog2OfE : 0.0f;
        delta[m][half] = there ? a.delta[at] : 0.0f;
      }
    }
  }
};

// From products of queries with keys, and of dout with values, to gradients of scores, in place of
// the latter.
template <int kTiles>
__device__ inline void ScoreGrads(const LaneQueries<kTiles>& own, const LaneSums<kTiles>& sums,
                                  int from, float scale, const Accumulator<kOthers> (&p)[kTiles],
                                  Accumulator<kOthers> (&ds)[kTiles]) {
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int j = 0; j < kOthers / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int half = i / 2;
        const bool seen = own.Sees(m, half, from + ColumnOf(j, i));
        const float weight = exp2f(p[m].value[j][i] * (scale * kLog2OfE) - sums.log_sum[m][half]);
        float& of = ds[m].value[j][i];
        of = seen ? weight * (of - sums.delta[m][half]) * scale : 0.0f;
      }
    }
  }
}

// Block (tile of queries from the last, head, row).
template <typename T, int kWidth>
__global__ void __launch_bounds__(kAttentionThreads, kBlocksAtOnce<kWidth>)
    QueryGradKernel(const AttentionArguments<T> a) {
  constexpr int kTiles = kRowTiles<T, kWidth>, kQueries = kBlockRows<kTiles>;
  QueryTiles<T, kWidth>& tiles = *static_cast<QueryTiles<T, kWidth>*>(DynamicShared());
  const int begin = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kQueries;
  const int head = static_cast<int>(blockIdx.y), kv_head = head / (a.heads / a.kv_heads);
  const int64_t row = blockIdx.z;
  const int queries = min(kQueries, a.seq_len - begin);
  LoadTile<kQueries, kWidth>(a.qkv + a.InQkv(row, begin, head), queries, a.stride(), a.head_width,
                             a.wide, tiles.q);
  LoadTile<kQueries, kWidth>(a.dout + a.InOut(row, begin, head), queries, a.out_stride(),
                             a.head_width, a.wide, tiles.dout);
  const int first = LoadSpans(a, row, begin, queries, tiles.spans);
  const LaneQueries<kTiles> own(begin, queries, a.seq_len, tiles.spans);
  const int own_rows = WarpId() * kWarpRows<kTiles>;
  const LaneSums<kTiles> sums(a, own, row, head, begin + queries);
  T* const own_q = tiles.q + own_rows * kPitch<T, kWidth>;
  T* const own_ds = tiles.ds + own_rows * kPitch<T, kOthers>;
  Accumulator<kWidth> dq[kTiles];
  const auto load = [&](int kv, int from, T* tile) {
    LoadTileLater<kOthers, kWidth>(a.qkv + a.InQkv(row, from, kv), min(kOthers, a.seq_len - from),
                                   a.stride(), a.head_width, a.wide, tile);
  };
  constexpr bool kAhead = kStages<T, kWidth> == 2;
  int from = first / kOthers * kOthers;
  load(a.KeyHead(kv_head), from, tiles.k[0]);
  load(a.ValueHead(kv_head), from, tiles.v);
  // The next keys come all the while, the next values while the product with keys is computed.
  for (int stage = 0; from < begin + queries; from += kOthers, stage = kAhead ? 1 - stage : 0) {
    const int next = from + kOthers;
    const bool more = next < begin + queries;
    WaitForCopies();
    __syncthreads();  // keys and values are there, and the keys before were read
    if (kAhead && more) load(a.KeyHead(kv_head), next, tiles.k[1 - stage]);
    Accumulator<kOthers> p[kTiles], ds[kTiles];
    MultiplyByRows<kWidth>(own_q, tiles.k[stage], p);
    MultiplyByRows<kWidth>(tiles.dout + own_rows * kPitch<T, kWidth>, tiles.v, ds);
    if (more) __syncthreads();  // the values were read
    if (more) load(a.ValueHead(kv_head), next, tiles.v);
    ScoreGrads(own, sums, from, a.scale, p, ds);
    PutRows(ds, own_ds);
    __syncwarp();
    MultiplyByColumns<kOthers>(own_ds, tiles.k[stage], dq);
    if (kAhead || !more) continue;
    __syncthreads();  // the keys were read
    load(a.KeyHead(kv_head), next, tiles.k[0]);
  }
  PutRows(dq, own_q);  // the warp has read its queries: their place is free
  __syncwarp();
  StoreRows<kWarpRows<kTiles>, kWidth>(own_q, queries - own_rows, a.stride(), a.head_width, a.wide,
                                       a.dqkv + a.InQkv(row, begin + own_rows, head));
}

// Sequences [first, first + rows), whose deltas fit into the workspace.
template <typename T>
void GradOfRows(const AttentionShape& s, AttentionArguments<T> a, const T* out, int64_t first,
                int64_t rows, const Stream& stream) {
  const int64_t slots = first * s.seq_len, in_qkv = (s.heads + 2 * s.kv_heads) * s.head_width;
  a.span_start += slots;
  a.qkv += slots * in_qkv;
  a.dqkv += slots * in_qkv;
  a.dout += slots * s.heads * s.head_width;
  a.log_sum += slots * s.heads;
  const auto depth = static_cast<unsigned>(rows);
  Launch("attention's sums of dout * out", stream, DeltaKernel<T>,
         Blocks(rows * s.seq_len * s.heads, kAttentionThreads / 32), kAttentionThreads, 0, a,
         out + slots * s.heads * s.head_width, rows * s.seq_len);
  WithTileWidth(s.head_width, [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    const auto of_keys = [&](auto kernel) {
      Launch("gradient of attention's keys", stream, kernel,
             dim3(Blocks(s.seq_len, kKeys), static_cast<unsigned>(s.kv_heads), depth),
             kAttentionThreads, sizeof(KeyTiles<T, kWidth>), a);
    };
    if constexpr (kWidth <= 128) {
      of_keys(KeyGradKernel<T, kWidth, KeyGrads::kBoth>);
    } else {
      of_keys(KeyGradKernel<T, kWidth, KeyGrads::kKeys>);
      of_keys(KeyGradKernel<T, kWidth, KeyGrads::kValues>);
    }
    Launch("gradient of attention's queries", stream, QueryGradKernel<T, kWidth>,
           dim3(Blocks(s.seq_len, QueryTiles<T, kWidth>::kQueries), static_cast<unsigned>(s.heads),
                depth),
           kAttentionThreads, sizeof(QueryTiles<T, kWidth>), a);
  });
}

template <typename T>
void EnqueueAttentionGrad(const AttentionShape& s, const AttentionGradOperands& o,
                          const Stream& stream) {
  auto a = ArgumentsOf<T>(s, o.span_start, o.qkv, const_cast<float*>(o.log_sum),
                          Aligned(o.qkv, o.dout, o.dqkv));
  a.dout = static_cast<const T*>(o.dout);
  a.dqkv = static_cast<T*>(o.dqkv);
  a.delta = static_cast<float*>(Of(stream).workspace());
  const int64_t fit = SequencesAtOnce(s);
  for (int64_t first = 0; first < s.rows; first += fit) {
    GradOfRows(s, a, static_cast<const T*>(o.out), first, std::min(fit, s.rows - first), stream);
  }
}

template <typename T>
void AttentionGrad(const AttentionShape& s, const int32_t* span_start, const void* qkv,
                   const void* out, const float* log_sum, const void* dout, void* dqkv,
                   float* workspace, const Stream& stream) {
  const AttentionGradOperands operands{span_start, qkv, out, log_sum, dout, dqkv, workspace};
  if (sizeof(T) == 2 && AttentionGradByChoice(s, operands, EnqueueAttentionGrad<T>, stream)) return;
  EnqueueAttentionGrad<T>(s, operands, stream);
}

template <typename T>
void Fill(KernelTable& table) {
  table.attention_grad = AttentionGrad<T>;
}

}  // namespace

size_t AttentionGradSharedBytes(core::DType dtype, int64_t head_width) {
  size_t bytes = 0;
  WithTileWidth(head_width, [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    bytes =
        dtype == core::DType::kF32
            ? std::max(sizeof(KeyTiles<float, kWidth>), sizeof(QueryTiles<float, kWidth>))
            : std::max(sizeof(KeyTiles<BFloat16, kWidth>), sizeof(QueryTiles<BFloat16, kWidth>));
  });
  return bytes;
}

void FillAttentionGrad(core::DType dtype, KernelTable& table) {
  dtype == core::DType::kF32 ? Fill<float>(table) : Fill<BFloat16>(table);
}

}  // namespace moat::tensor::cuda
