// Causal attention inside spans, forward: tiles of queries against tiles of keys, with scores that
// never leave the block (Dao et al., "FlashAttention", 2022, algorithm 1), and one query against a
// cache.
#include <algorithm>

#include "tensor/cuda/attention.h"
#include "tensor/cuda/attention_plans.h"
#include "tensor/cuda/attention_tile.cuh"
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/launch.h"

namespace moat::tensor::cuda {
namespace {

constexpr int kKeys = 64;  // of a tile

template <typename T, int kWidth>
struct Tiles {
  static constexpr int kQueries = kBlockRows<kRowTiles<T, kWidth>>;
  T q[kQueries * kPitch<T, kWidth>], k[kKeys * kPitch<T, kWidth>], v[kKeys * kPitch<T, kWidth>];
  T p[kQueries * kPitch<T, kKeys>];  // a warp's rows are its own
  int32_t spans[kQueries];
};

// The softmax of a lane's two rows of a tile, as far as keys were seen: the largest score, in units
// of ln 2, and this lane's share of the sum of exponentials.
struct RunningSoftmax {
  float top[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0, 0};
};

// Scores to probabilities under the largest score so far; `o` and the sums follow it.
template <int kWidth>
__device__ inline void UpdateSoftmax(Accumulator<kKeys>& scores, RunningSoftmax& soft,
                                     Accumulator<kWidth>& o) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float top = soft.top[half];
#pragma unroll
    for (int j = 0; j < kKeys / 8; ++j) {
      top = fmaxf(top, fmaxf(scores.value[j][2 * half], scores.value[j][2 * half + 1]));
    }
    top = OverLanes<Largest, 4>(top);
    const float base = top == -INFINITY ? 0.0f : top;  // nothing is seen yet: all terms are 0
    const float factor = exp2f(soft.top[half] - base);
    float sum = 0;
#pragma unroll
    for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
      for (int i = 2 * half; i < 2 * half + 2; ++i) {
        scores.value[j][i] = exp2f(scores.value[j][i] - base);
        sum += scores.value[j][i];
      }
    }
    soft.top[half] = top;
    soft.sum[half] = soft.sum[half] * factor + sum;
#pragma unroll
    for (int j = 0; j < kWidth / 8; ++j) {
      o.value[j][2 * half] *= factor;
      o.value[j][2 * half + 1] *= factor;
    }
  }
}

// Block (tile of queries from the last, head, row).
template <typename T, int kWidth>
__global__ void __launch_bounds__(kAttentionThreads, kBlocksAtOnce<kWidth>)
    AttentionKernel(const AttentionArguments<T> a) {
  constexpr int kTiles = kRowTiles<T, kWidth>, kQueries = kBlockRows<kTiles>;
  Tiles<T, kWidth>& tiles = *static_cast<Tiles<T, kWidth>*>(DynamicShared());
  const int begin = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kQueries;
  const int head = static_cast<int>(blockIdx.y), kv_head = head / (a.heads / a.kv_heads);
  const int64_t row = blockIdx.z;
  const int queries = min(kQueries, a.seq_len - begin);
  LoadTile<kQueries, kWidth>(a.qkv + a.InQkv(row, begin, head), queries, a.stride(), a.head_width,
                             a.wide, tiles.q);
  for (int i = static_cast<int>(threadIdx.x); i < queries; i += kAttentionThreads) {
    tiles.spans[i] = a.span_start[row * a.seq_len + begin + i];
  }
  __syncthreads();
  int first = begin;  // the first key that a query of the tile sees
  for (int i = 0; i < queries; ++i) first = min(first, tiles.spans[i]);
  const int own_rows = WarpId() * kWarpRows<kTiles>;
  int slot[kTiles][2], span[kTiles][2];  // of this lane's rows; those not there see nothing
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int index = own_rows + m * kTileRows + RowOf(2 * half);
      slot[m][half] = begin + index;
      span[m][half] = index < queries ? tiles.spans[index] : a.seq_len;
    }
  }
  T* const own_p = tiles.p + own_rows * kPitch<T, kKeys>;
  T* const own_q = tiles.q + own_rows * kPitch<T, kWidth>;
  const float scale = a.scale * kLog2OfE;
  RunningSoftmax soft[kTiles];
  Accumulator<kWidth> o[kTiles];
  for (int from = first / kKeys * kKeys; from < begin + queries; from += kKeys) {
    __syncthreads();  // the tiles before were read
    const int keys = min(kKeys, a.seq_len - from);
    LoadTile<kKeys, kWidth>(a.qkv + a.InQkv(row, from, a.KeyHead(kv_head)), keys, a.stride(),
                            a.head_width, a.wide, tiles.k);
    LoadTile<kKeys, kWidth>(a.qkv + a.InQkv(row, from, a.ValueHead(kv_head)), keys, a.stride(),
                            a.head_width, a.wide, tiles.v);
    __syncthreads();
    Accumulator<kKeys> scores[kTiles];
    MultiplyByRows<kWidth>(own_q, tiles.k, scores);
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int key = from + ColumnOf(j, i);
          const bool seen = key <= slot[m][i / 2] && key >= span[m][i / 2];
          float& score = scores[m].value[j][i];
          score = seen ? score * scale : -INFINITY;
        }
      }
      UpdateSoftmax(scores[m], soft[m], o[m]);
    }
    PutRows(scores, own_p);
    __syncwarp();
    MultiplyByColumns<kKeys>(own_p, tiles.v, o);
  }
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float sum = OverLanes<Sum, 4>(soft[m].sum[half]);
      if (LaneId() % 4 == 0 && slot[m][half] < begin + queries) {
        a.log_sum[a.InSums(row, slot[m][half], head)] = soft[m].top[half] * kLogOf2 + logf(sum);
      }
      const float inverse = sum > 0 ? 1.0f / sum : 0.0f;
#pragma unroll
      for (int j = 0; j < kWidth / 8; ++j) {
        o[m].value[j][2 * half] *= inverse;
        o[m].value[j][2 * half + 1] *= inverse;
      }
    }
  }
  PutRows(o, own_q);  // the warp has read its queries: their place is free
  __syncwarp();
  StoreRows<kWarpRows<kTiles>, kWidth>(own_q, queries - own_rows, a.out_stride(), a.head_width,
                                       a.wide, a.out + a.InOut(row, begin + own_rows, head));
}

template <typename T>
void EnqueueAttention(const AttentionShape& s, const AttentionOperands& operands,
                      const Stream& stream) {
  auto a = ArgumentsOf<T>(s, operands.span_start, operands.qkv, operands.log_sum,
                          Aligned(operands.qkv, operands.out));
  a.out = static_cast<T*>(operands.out);
  WithTileWidth(s.head_width, [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    Launch("attention", stream, AttentionKernel<T, kWidth>,
           dim3(Blocks(s.seq_len, Tiles<T, kWidth>::kQueries), static_cast<unsigned>(s.heads),
                static_cast<unsigned>(s.rows)),
           kAttentionThreads, sizeof(Tiles<T, kWidth>), a);
  });
}

template <typename T>
void Attention(const AttentionShape& s, const int32_t* span_start, const void* qkv, void* out,
               float* log_sum, float*, const Stream& stream) {
  const AttentionOperands operands{span_start, qkv, out, log_sum};
  if (sizeof(T) == 2 && AttentionByChoice(s, operands, EnqueueAttention<T>, stream)) return;
  EnqueueAttention<T>(s, operands, stream);
}

// One query against a cache: a block takes a head, its warps every kWarps-th key, a lane every 32nd
// element of a head.
constexpr int kCacheThreads = 256, kWarps = kCacheThreads / 32;
constexpr int kMostHeadWidth = 256, kOfLane = kMostHeadWidth / 32;

template <typename T>
__device__ inline void LoadHead(const T* head, int width, float (&values)[kOfLane]) {
#pragma unroll
  for (int i = 0; i < kOfLane; ++i) {
    const int element = LaneId() + 32 * i;
    values[i] = element < width ? Load(head + element) : 0.0f;
  }
}

template <typename T>
__global__ void __launch_bounds__(kCacheThreads)
    CachedKernel(int group, int kv_heads, int width, int64_t length, float scale, const T* q,
                 const T* keys, const T* values, T* out) {
  __shared__ float sums[kWarps][kMostHeadWidth], tops[kWarps], totals[kWarps];
  const int64_t stride = static_cast<int64_t>(kv_heads) * width;
  const int64_t kv = static_cast<int64_t>(blockIdx.x / group) * width;
  float query[kOfLane], sum[kOfLane] = {}, top = -INFINITY, total = 0;
  LoadHead(q + static_cast<int64_t>(blockIdx.x) * width, width, query);
  for (int64_t t = WarpId(); t < length; t += kWarps) {
    float key[kOfLane], value[kOfLane], dot = 0;
    LoadHead(keys + t * stride + kv, width, key);
    LoadHead(values + t * stride + kv, width, value);
#pragma unroll
    for (int i = 0; i < kOfLane; ++i) dot += query[i] * key[i];
    const float score = OverLanes<Sum>(dot) * scale, now = fmaxf(top, score);
    const float before = expf(top - now), weight = expf(score - now);
    top = now;
    total = total * before + weight;
#pragma unroll
    for (int i = 0; i < kOfLane; ++i) sum[i] = sum[i] * before + weight * value[i];
  }
#pragma unroll
  for (int i = 0; i < kOfLane; ++i) sums[WarpId()][LaneId() + 32 * i] = sum[i];
  if (LaneId() == 0) {
    tops[WarpId()] = top;
    totals[WarpId()] = total;
  }
  __syncthreads();
  float all_top = -INFINITY, all_total = 0;
  for (int w = 0; w < kWarps; ++w) all_top = fmaxf(all_top, tops[w]);
  for (int w = 0; w < kWarps; ++w) all_total += totals[w] * expf(tops[w] - all_top);
  const int element = static_cast<int>(threadIdx.x);
  if (element >= width) return;
  float result = 0;
  for (int w = 0; w < kWarps; ++w) result += sums[w][element] * expf(tops[w] - all_top);
  Store(result / all_total, out + static_cast<int64_t>(blockIdx.x) * width + element);
}
static_assert(kCacheThreads >= kMostHeadWidth, "a thread for each element of a head");

template <typename T>
void AttentionCached(int64_t heads, int64_t kv_heads, int64_t head_width, int64_t length,
                     const void* q, const void* keys, const void* values, void* out,
                     const Stream& stream) {
  WithTileWidth(head_width, [](auto) {});  // refuses what is too wide
  Launch("attention to a cache", stream, CachedKernel<T>, static_cast<unsigned>(heads),
         kCacheThreads, 0, static_cast<int>(heads / kv_heads), static_cast<int>(kv_heads),
         static_cast<int>(head_width), length, 1.0f / std::sqrt(static_cast<float>(head_width)),
         static_cast<const T*>(q), static_cast<const T*>(keys), static_cast<const T*>(values),
         static_cast<T*>(out));
}

template <typename T>
void Fill(KernelTable& table) {
  table.attention = Attention<T>;
  table.attention_cached = AttentionCached<T>;
}

}  // namespace

void FillAttention(core::DType dtype, KernelTable& table) {
  dtype == core::DType::kF32 ? Fill<float>(table) : Fill<BFloat16>(table);
}

}  // namespace moat::tensor::cuda
