// Causal attention in tiles of queries, forward and backward.
//
// Forward tasks are (row, head, tile); backward tasks are (row, key/value head), inside which heads
// and tiles go in order, because they add to the same keys and values, in f32 until all are done.
// Scores of one tile live in the thread's workspace only; the backward pass computes them again.
#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/parallel_for.h"
#include "tensor/cpu/product.h"
#include "tensor/cpu/vector_math.h"
#include "tensor/ops.h"

namespace moat::tensor::cpu {
namespace {

// Where one sequence's query, key and value of a head start inside qkv, and the distance between
// slots.
struct HeadPointers {
  int64_t q, k, v, stride;
  HeadPointers(const AttentionShape& s, int64_t row, int64_t head) {
    const int64_t kv = head / (s.heads / s.kv_heads);
    stride = (s.heads + 2 * s.kv_heads) * s.head_width;
    q = row * s.seq_len * stride + head * s.head_width;
    k = row * s.seq_len * stride + (s.heads + kv) * s.head_width;
    v = k + s.kv_heads * s.head_width;
  }
};

// Queries [begin, end) of a row see keys from `first` on: a multiple of the tile, so that there are
// few shapes of products.
struct Tile {
  int64_t begin, end, first;
  int64_t queries() const { return end - begin; }
  int64_t keys() const { return end - first; }
};

Tile MakeTile(const AttentionShape& s, int64_t index, const int32_t* span_start) {
  const int64_t begin = index * s.tile;
  const int64_t end = std::min(begin + s.tile, s.seq_len);
  const int64_t first = *std::min_element(span_start + begin, span_start + end);
  return {begin, end, first / s.tile * s.tile};
}

int64_t Tiles(const AttentionShape& s) { return (s.seq_len + s.tile - 1) / s.tile; }

// A thread's part of the workspace. Scores are f32 and then of the element type T; in f32 both
// stand in one place.
template <typename T>
struct Workspace {
  float *scores, *score_grads;  // [tile, seq_len]; in bf16 the second replaces the first
  T *p, *dp;                    // [tile, seq_len]
  float *dk, *dv;               // [seq_len, head_width]
  float *sums, *weights;        // [tile]

  Workspace(const AttentionShape& s, float* memory, int thread) {
    const int64_t block = s.tile * s.seq_len;
    float* at = memory + thread * PerThread(s);
    dk = at + 2 * block;
    dv = dk + s.seq_len * s.head_width;
    sums = dv + s.seq_len * s.head_width;
    weights = sums + s.tile;
    scores = at;
    if constexpr (std::is_same_v<T, float>) {
      p = scores;
      score_grads = dp = at + block;
    } else {
      score_grads = scores;
      p = reinterpret_cast<T*>(at + block);
      dp = p + block;
    }
  }
  static int64_t PerThread(const AttentionShape& s) {
    return core::AttentionWorkspace(s, core::DTypeOf<T>::value, core::DeviceKind::kCpu, 1);
  }
};

// The keys [low, high) that a query sees among [0, n), and the range around them that row kernels
// work on: bf16's in whole vectors, what is too much being set to zero afterwards.
template <typename T>
struct Seen {
  int64_t low, high, n, begin, end;
  Seen(int64_t low, int64_t high, int64_t n) : low(low), high(high), n(n), begin(low), end(high) {
    if constexpr (!std::is_same_v<T, float>) {
      begin = low / kPair * kPair;
      end = std::min((high + kPair - 1) / kPair * kPair, n);
    }
  }
  int64_t count() const { return end - begin; }
  // Zeros in [from, low) and [high, to) of a row.
  template <typename E>
  void ClearOutside(E* row, int64_t from, int64_t to) const {
    std::fill_n(row + from, low - from, E{});
    std::fill_n(row + high, to - high, E{});
  }
};

// p = softmax over the scores that are seen, zeros elsewhere. Returns the log of the denominator.
// p may be scores.
template <typename T>
MOAT_INLINE float SoftmaxRow(float* scores, T* p, const Seen<T>& seen, float scale) {
  float* x = scores + seen.begin;
  T* y = p + seen.begin;
  const float top = LaneMax(seen.high - seen.low, -INFINITY, scores + seen.low) * scale;
  ForEach<T>(seen.count(), [&](auto at) MOAT_TERM { at.Store(x, Exp(at(x) * scale - top)); });
  seen.ClearOutside(scores, seen.begin, seen.end);
  const float sum = LaneSum<T>(seen.count(), [&](auto at) MOAT_TERM { return at(x); });
  const float inverse = 1.0f / sum;
  ForEach<T>(seen.count(), [&](auto at) MOAT_TERM { at.Store(y, at(x) * inverse); });
  seen.ClearOutside(p, 0, seen.n);
  return top + std::log(sum);
}

// The keys that each query of a tile sees: [spans[i], begin + i], counted from key `first` on.
struct Causal {
  const int32_t* spans;
  int64_t begin, first;
  bool one_span;  // the queries' spans all start at or before `first`
  template <typename T>
  Seen<T> Of(int64_t i, int64_t keys) const {
    return {spans[i] - first, begin + i + 1 - first, keys};
  }
};

Causal CausalOf(const Tile& tile, const int32_t* row_spans) {
  const int32_t* spans = row_spans + tile.begin;
  const bool one_span = *std::max_element(spans, spans + tile.queries()) <= tile.first;
  return {spans, tile.begin, tile.first, one_span};
}

template <typename T>
MOAT_ROW_KERNEL void SoftmaxTile(const Causal causal, int64_t queries, int64_t keys, float* scores,
                                 T* p, float scale, float* log_sum) {
  for (int64_t i = 0; i < queries; ++i) {
    log_sum[i] = SoftmaxRow(scores + i * keys, p + i * keys, causal.Of<T>(i, keys), scale);
  }
}

// The backward pass keeps scores transposed, [keys, queries]: every product but one then reads them
// as they stand, and a row has one key and all queries of the tile.

// Zeros where a query does not see the key.
template <typename T>
MOAT_INLINE void ClearUnseen(const Causal& causal, int64_t queries, int64_t key, T* row) {
  const int64_t own = key + causal.first - causal.begin;  // the query at the key's own slot
  if (own > 0) std::fill_n(row, std::min(own, queries), T{});
  if (causal.one_span) return;
  for (int64_t i = 0; i < queries; ++i) {
    if (causal.spans[i] > key + causal.first) row[i] = T{};
  }
}

// Scores to probabilities, with the denominators known. p may be scores.
template <typename T>
MOAT_ROW_KERNEL void ProbabilityTile(const Causal causal, int64_t queries, int64_t keys,
                                     const float* scores, T* p, float scale, const float* log_sum) {
  for (int64_t u = 0; u < keys; ++u) {
    const float* x = scores + u * queries;
    T* y = p + u * queries;
    ForEach<T>(queries, [&](auto at) MOAT_TERM { at.Store(y, Exp(at(x) * scale - at(log_sum))); });
    ClearUnseen(causal, queries, u, y);
  }
}

// d [queries]: each query's mean of dp under p. In exact numbers it is the sum of dout * out; from
// out as it was rounded, what all values of a head have in common would not cancel. Dividing by the
// weights that p has after rounding makes a query's score gradients sum to zero.
template <typename T>
MOAT_ROW_KERNEL void MeanScoreGrads(int64_t queries, int64_t keys, const T* p, const float* dp,
                                    float* d, float* weights) {
  std::fill_n(d, queries, 0.0f);
  std::fill_n(weights, queries, 0.0f);
  for (int64_t u = 0; u < keys; ++u) {
    const T* x = p + u * queries;
    const float* dx = dp + u * queries;
    ForEach<T>(queries, [&](auto at) MOAT_TERM {
      const auto weight = at(x);
      at.Store(d, at(d) + weight * at(dx));
      at.Store(weights, at(weights) + weight);
    });
  }
  ForEach<T>(queries, [&](auto at) MOAT_TERM { at.Store(d, at(d) / at(weights)); });
}

// ds = p * (dp - d) * scale. ds may be dp.
template <typename T>
MOAT_ROW_KERNEL void ScoreGradTile(int64_t queries, int64_t keys, const T* p, const float* dp,
                                   T* ds, const float* d, float scale) {
  for (int64_t u = 0; u < keys; ++u) {
    const T* x = p + u * queries;
    const float* dx = dp + u * queries;
    T* y = ds + u * queries;
    ForEach<T>(queries, [&](auto at) MOAT_TERM { at.Store(y, at(x) * (at(dx) - at(d)) * scale); });
  }
}

template <typename T>
MOAT_ROW_KERNEL float Dot(const T* a, const T* b, int64_t n) {
  return LaneSum<T>(n, [&](auto at) MOAT_TERM { return at(a) * at(b); });
}

// Rows of f32 without gaps to rows `stride` apart.
template <typename T>
MOAT_ROW_KERNEL void RoundRows(int64_t rows, int64_t width, const float* x, T* y, int64_t stride) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* from = x + r * width;
    T* to = y + r * stride;
    ForEach<T>(width, [&](auto at) MOAT_TERM { at.Store(to, at(from)); });
  }
}

template <typename T>
void Attention(const AttentionShape& s, const int32_t* span_start, const void* qkv_void,
               void* out_void, float* log_sum, float* workspace, const Stream& stream) {
  const auto* qkv = static_cast<const T*>(qkv_void);
  auto* out = static_cast<T*>(out_void);
  const int64_t width = s.head_width, out_stride = s.heads * width;
  const float scale = 1.0f / std::sqrt(static_cast<float>(width));
  ParallelFor(s.rows * s.heads * Tiles(s), stream, [&](int64_t task, int thread) {
    const int64_t row = task / (s.heads * Tiles(s));
    const int64_t head = task / Tiles(s) % s.heads;
    const int32_t* spans = span_start + row * s.seq_len;
    const Tile tile = MakeTile(s, task % Tiles(s), spans);
    const int64_t queries = tile.queries(), keys = tile.keys();
    const HeadPointers at(s, row, head);
    const Workspace<T> work(s, workspace, thread);
    Product<T>({queries, keys, width, at.stride, 1, 1, at.stride, keys},
               qkv + at.q + tile.begin * at.stride, qkv + at.k + tile.first * at.stride, nullptr,
               work.scores);
    SoftmaxTile(CausalOf(tile, spans), queries, keys, work.scores, work.p, scale,
                log_sum + (row * s.heads + head) * s.seq_len + tile.begin);
    Product<T>({queries, width, keys, keys, 1, at.stride, 1, out_stride, std::is_same_v<T, float>},
               work.p, qkv + at.v + tile.first * at.stride, nullptr,
               out + (row * s.seq_len + tile.begin) * out_stride + head * width);
  });
}

// What the backward pass reads and writes.
template <typename T>
struct GradArguments {
  const T *qkv, *dout;
  T* dqkv;
  const float* log_sum;
};

// One tile of one head: adds to dk and dv, writes dq.
template <typename T>
void AttentionGradTile(const AttentionShape& s, int64_t row, int64_t head, const Tile& tile,
                       const int32_t* spans, const GradArguments<T>& x, const Workspace<T>& work) {
  const HeadPointers at(s, row, head);
  const int64_t queries = tile.queries(), keys = tile.keys(), width = s.head_width;
  const int64_t out_stride = s.heads * width;
  const int64_t out_at = (row * s.seq_len + tile.begin) * out_stride + head * width;
  const float scale = 1.0f / std::sqrt(static_cast<float>(width));
  const T* q = x.qkv + at.q + tile.begin * at.stride;
  const T* k = x.qkv + at.k + tile.first * at.stride;
  const T* v = x.qkv + at.v + tile.first * at.stride;
  const T* dout = x.dout + out_at;
  Product<T>({keys, queries, width, at.stride, 1, 1, at.stride, queries}, k, q, nullptr,
             work.scores);
  ProbabilityTile(CausalOf(tile, spans), queries, keys, work.scores, work.p, scale,
                  x.log_sum + (row * s.heads + head) * s.seq_len + tile.begin);
  Product<T>({keys, queries, width, at.stride, 1, 1, out_stride, queries}, v, dout, nullptr,
             work.score_grads);
  Product<T>({keys, width, queries, queries, 1, out_stride, 1, width, true, true}, work.p, dout,
             nullptr, work.dv + tile.first * width);
  MeanScoreGrads(queries, keys, work.p, work.score_grads, work.sums, work.weights);
  ScoreGradTile(queries, keys, work.p, work.score_grads, work.dp, work.sums, scale);
  Product<T>({queries, width, keys, 1, queries, at.stride, 1, at.stride, std::is_same_v<T, float>},
             work.dp, k, nullptr, x.dqkv + at.q + tile.begin * at.stride);
  Product<T>({keys, width, queries, queries, 1, at.stride, 1, width, true, true}, work.dp, q,
             nullptr, work.dk + tile.first * width);
}

template <typename T>
void AttentionGrad(const AttentionShape& s, const int32_t* span_start, const void* qkv,
                   const void* out, const float* log_sum, const void* dout, void* dqkv,
                   float* workspace, const Stream& stream) {
  const GradArguments<T> x{static_cast<const T*>(qkv), static_cast<const T*>(dout),
                           static_cast<T*>(dqkv), log_sum};
  const int64_t group = s.heads / s.kv_heads;
  ParallelFor(s.rows * s.kv_heads, stream, [&](int64_t task, int thread) {
    const int64_t row = task / s.kv_heads;
    const int64_t first_head = task % s.kv_heads * group;
    const HeadPointers at(s, row, first_head);
    const Workspace<T> work(s, workspace, thread);
    std::fill_n(work.dk, 2 * s.seq_len * s.head_width, 0.0f);
    const int32_t* spans = span_start + row * s.seq_len;
    for (int64_t head = first_head; head < first_head + group; ++head) {
      for (int64_t index = 0; index < Tiles(s); ++index) {
        AttentionGradTile(s, row, head, MakeTile(s, index, spans), spans, x, work);
      }
    }
    RoundRows(s.seq_len, s.head_width, work.dk, x.dqkv + at.k, at.stride);
    RoundRows(s.seq_len, s.head_width, work.dv, x.dqkv + at.v, at.stride);
  });
}

MOAT_ROW_KERNEL void SoftmaxAll(float* scores, int64_t n, float scale) {
  SoftmaxRow(scores, scores, Seen<float>(0, n, n), scale);
}

template <typename T>
MOAT_ROW_KERNEL void AddWeighted(float p, const T* v, float* y, int64_t n) {
  ForEach<T>(n, [&](auto at) MOAT_TERM { at.Store(y, at(y) + p * at(v)); });
}

template <typename T>
void AttentionCached(int64_t heads, int64_t kv_heads, int64_t head_width, int64_t length,
                     const void* q_void, const void* keys, const void* values, void* out_void,
                     const Stream& stream) {
  const int64_t stride = kv_heads * head_width;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_width));
  ParallelFor(heads, stream, [&](int64_t head, int) {
    const int64_t kv = head / (heads / kv_heads);
    const T* q = static_cast<const T*>(q_void) + head * head_width;
    const T* k = static_cast<const T*>(keys) + kv * head_width;
    const T* v = static_cast<const T*>(values) + kv * head_width;
    thread_local std::vector<float> scores, sum;
    scores.resize(static_cast<size_t>(length));
    for (int64_t t = 0; t < length; ++t)
      scores[static_cast<size_t>(t)] = Dot(q, k + t * stride, head_width);
    SoftmaxAll(scores.data(), length, scale);
    sum.assign(static_cast<size_t>(head_width), 0.0f);
    for (int64_t t = 0; t < length; ++t) {
      AddWeighted(scores[static_cast<size_t>(t)], v + t * stride, sum.data(), head_width);
    }
    RoundRows(1, head_width, sum.data(), static_cast<T*>(out_void) + head * head_width, 0);
  });
}

}  // namespace

template <typename T>
void FillAttention(KernelTable& table) {
  table.attention = Attention<T>;
  table.attention_grad = AttentionGrad<T>;
  table.attention_cached = AttentionCached<T>;
}

template void FillAttention<float>(KernelTable&);
template void FillAttention<core::BFloat16>(KernelTable&);

}  // namespace moat::tensor::cpu
