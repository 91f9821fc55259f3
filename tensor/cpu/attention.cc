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

  Workspace(const AttentionShape& s, float* memory, int thread) {
    const int64_t block = s.tile * s.seq_len;
    float* at = memory + thread * PerThread(s);
    dk = at + 2 * block;
    dv = dk + s.seq_len * s.head_width;
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
    return AttentionWorkspace(s.seq_len, s.tile, s.head_width, 1);
  }
};

// p = softmax over scores[low, high), zeros elsewhere in [0, n). Returns the log of the
// denominator. p may be scores.
template <typename T>
MOAT_ROW_KERNEL float SoftmaxRow(float* scores, T* p, int64_t low, int64_t high, int64_t n,
                                 float scale) {
  float* x = scores + low;
  const int64_t count = high - low;
  const float top = LaneMax(count, -INFINITY, [&](int64_t i) { return x[i]; }) * scale;
  for (int64_t i = 0; i < count; ++i) x[i] = Exp(x[i] * scale - top);
  const float sum = LaneSum(count, [&](int64_t i) { return x[i]; });
  const float inverse = 1.0f / sum;
  std::fill_n(p, low, T{});
  StoreRow(p + low, count, [&](int64_t i) { return x[i] * inverse; });
  std::fill_n(p + high, n - high, T{});
  return top + std::log(sum);
}

// Scores to probabilities, with the denominator known. p may be scores.
template <typename T>
MOAT_ROW_KERNEL void ProbabilityRow(const float* scores, T* p, int64_t low, int64_t high, int64_t n,
                                    float scale, float log_sum) {
  std::fill_n(p, low, T{});
  StoreRow(p + low, high - low, [&](int64_t i) { return Exp(scores[low + i] * scale - log_sum); });
  std::fill_n(p + high, n - high, T{});
}

// ds = p * (dp - d) * scale. ds may be dp.
template <typename T>
MOAT_ROW_KERNEL void ScoreGradRow(const T* p, const float* dp, T* ds, float d, float scale,
                                  int64_t n) {
  StoreRow(ds, n, [&](int64_t i) { return Load(p + i) * (dp[i] - d) * scale; });
}

template <typename T>
MOAT_ROW_KERNEL float Dot(const T* a, const T* b, int64_t n) {
  return LaneSum(n, [&](int64_t i) { return Load(a + i) * Load(b + i); });
}

template <typename T>
MOAT_ROW_KERNEL void RoundRow(const float* x, T* y, int64_t n) {
  StoreRow(y, n, [&](int64_t i) { return x[i]; });
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
    for (int64_t t = tile.begin; t < tile.end; ++t) {
      const int64_t i = (t - tile.begin) * keys;
      log_sum[(row * s.heads + head) * s.seq_len + t] = SoftmaxRow(
          work.scores + i, work.p + i, spans[t] - tile.first, t + 1 - tile.first, keys, scale);
    }
    Product<T>({queries, width, keys, keys, 1, at.stride, 1, out_stride, std::is_same_v<T, float>},
               work.p, qkv + at.v + tile.first * at.stride, nullptr,
               out + (row * s.seq_len + tile.begin) * out_stride + head * width);
  });
}

// What the backward pass reads and writes.
template <typename T>
struct GradArguments {
  const T *qkv, *out, *dout;
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
  Product<T>({queries, keys, width, at.stride, 1, 1, at.stride, keys}, q, k, nullptr, work.scores);
  for (int64_t t = tile.begin; t < tile.end; ++t) {
    const int64_t i = (t - tile.begin) * keys;
    ProbabilityRow(work.scores + i, work.p + i, spans[t] - tile.first, t + 1 - tile.first, keys,
                   scale, x.log_sum[(row * s.heads + head) * s.seq_len + t]);
  }
  Product<T>({queries, keys, width, out_stride, 1, 1, at.stride, keys}, dout, v, nullptr,
             work.score_grads);
  Product<T>({keys, width, queries, 1, keys, out_stride, 1, width, true, true}, work.p, dout,
             nullptr, work.dv + tile.first * width);
  for (int64_t i = 0; i < queries; ++i) {
    const float d = Dot(dout + i * out_stride, x.out + out_at + i * out_stride, width);
    ScoreGradRow(work.p + i * keys, work.score_grads + i * keys, work.dp + i * keys, d, scale,
                 keys);
  }
  Product<T>({queries, width, keys, keys, 1, at.stride, 1, at.stride, std::is_same_v<T, float>},
             work.dp, k, nullptr, x.dqkv + at.q + tile.begin * at.stride);
  Product<T>({keys, width, queries, 1, keys, at.stride, 1, width, true, true}, work.dp, q, nullptr,
             work.dk + tile.first * width);
}

template <typename T>
void AttentionGrad(const AttentionShape& s, const int32_t* span_start, const void* qkv,
                   const void* out, const float* log_sum, const void* dout, void* dqkv,
                   float* workspace, const Stream& stream) {
  const GradArguments<T> x{static_cast<const T*>(qkv), static_cast<const T*>(out),
                           static_cast<const T*>(dout), static_cast<T*>(dqkv), log_sum};
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
    for (int64_t t = 0; t < s.seq_len; ++t) {
      RoundRow(work.dk + t * s.head_width, x.dqkv + at.k + t * at.stride, s.head_width);
      RoundRow(work.dv + t * s.head_width, x.dqkv + at.v + t * at.stride, s.head_width);
    }
  });
}

template <typename T>
MOAT_ROW_KERNEL void AddWeighted(float p, const T* v, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += p * Load(v + i);
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
    SoftmaxRow(scores.data(), scores.data(), 0, length, length, scale);
    sum.assign(static_cast<size_t>(head_width), 0.0f);
    for (int64_t t = 0; t < length; ++t) {
      AddWeighted(scores[static_cast<size_t>(t)], v + t * stride, sum.data(), head_width);
    }
    RoundRow(sum.data(), static_cast<T*>(out_void) + head * head_width, head_width);
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
