// Causal attention in tiles of queries, forward and backward.
//
// Forward tasks are (row, head, tile); backward tasks are (row, key/value head), inside which heads
// and tiles go in order, because they add to the same keys and values. Scores of one tile live in
// the thread's workspace only; the backward pass computes them again.
#include <dnnl.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/parallel_for.h"
#include "tensor/cpu/vector_math.h"

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

// Queries [begin, end) of a row see keys from `first` on.
struct Tile {
  int64_t begin, end, first;
  int64_t queries() const { return end - begin; }
  int64_t keys() const { return end - first; }
};

Tile MakeTile(const AttentionShape& s, int64_t index, const int32_t* span_start) {
  const int64_t begin = index * s.tile;
  const int64_t end = std::min(begin + s.tile, s.seq_len);
  return {begin, end, *std::min_element(span_start + begin, span_start + end)};
}

int64_t Tiles(const AttentionShape& s) { return (s.seq_len + s.tile - 1) / s.tile; }

// Softmax over scores[low, high), zeros elsewhere in [0, n). Returns the log of the denominator.
MOAT_ROW_KERNEL float SoftmaxRow(float* scores, int64_t low, int64_t high, int64_t n, float scale) {
  for (int64_t i = 0; i < low; ++i) scores[i] = 0;
  float* p = scores + low;
  const int64_t count = high - low;
  const float top = LaneMax(count, -INFINITY, [&](int64_t i) { return p[i]; }) * scale;
  for (int64_t i = 0; i < count; ++i) p[i] = Exp(p[i] * scale - top);
  const float sum = LaneSum(count, [&](int64_t i) { return p[i]; });
  const float inverse = 1.0f / sum;
  for (int64_t i = 0; i < count; ++i) p[i] *= inverse;
  for (int64_t i = high; i < n; ++i) scores[i] = 0;
  return top + std::log(sum);
}

// Scores back to probabilities, with the denominator known.
MOAT_ROW_KERNEL void ProbabilityRow(float* scores, int64_t low, int64_t high, int64_t n,
                                    float scale, float log_sum) {
  for (int64_t i = 0; i < low; ++i) scores[i] = 0;
  for (int64_t i = low; i < high; ++i) scores[i] = Exp(scores[i] * scale - log_sum);
  for (int64_t i = high; i < n; ++i) scores[i] = 0;
}

// ds = p * (dp - d) * scale, into dp.
MOAT_ROW_KERNEL void ScoreGradRow(const float* p, float* dp, float d, float scale, int64_t n) {
  for (int64_t i = 0; i < n; ++i) dp[i] = p[i] * (dp[i] - d) * scale;
}

MOAT_ROW_KERNEL float Dot(const float* a, const float* b, int64_t n) {
  return LaneSum(n, [&](int64_t i) { return a[i] * b[i]; });
}

void Attention(const AttentionShape& s, const int32_t* span_start, const void* qkv_void,
               void* out_void, float* log_sum, float* workspace, const Stream& stream) {
  const auto* qkv = static_cast<const float*>(qkv_void);
  auto* out = static_cast<float*>(out_void);
  const int64_t out_stride = s.heads * s.head_width;
  const float scale = 1.0f / std::sqrt(static_cast<float>(s.head_width));
  const int64_t per_thread = 2 * s.tile * s.seq_len + s.tile;
  ParallelFor(s.rows * s.heads * Tiles(s), stream, [&](int64_t task, int thread) {
    const int64_t row = task / (s.heads * Tiles(s));
    const int64_t head = task / Tiles(s) % s.heads;
    const int32_t* spans = span_start + row * s.seq_len;
    const Tile tile = MakeTile(s, task % Tiles(s), spans);
    const HeadPointers at(s, row, head);
    float* scores = workspace + thread * per_thread;
    dnnl_sgemm('N', 'T', tile.queries(), tile.keys(), s.head_width, 1.0f,
               qkv + at.q + tile.begin * at.stride, at.stride, qkv + at.k + tile.first * at.stride,
               at.stride, 0.0f, scores, tile.keys());
    for (int64_t t = tile.begin; t < tile.end; ++t) {
      log_sum[(row * s.heads + head) * s.seq_len + t] =
          SoftmaxRow(scores + (t - tile.begin) * tile.keys(), spans[t] - tile.first,
                     t + 1 - tile.first, tile.keys(), scale);
    }
    dnnl_sgemm('N', 'N', tile.queries(), s.head_width, tile.keys(), 1.0f, scores, tile.keys(),
               qkv + at.v + tile.first * at.stride, at.stride, 0.0f,
               out + (row * s.seq_len + tile.begin) * out_stride + head * s.head_width, out_stride);
  });
}

// One tile of one head: adds to dk and dv, writes dq.
void AttentionGradTile(const AttentionShape& s, int64_t row, int64_t head, const Tile& tile,
                       const int32_t* spans, const float* qkv, const float* out,
                       const float* log_sum, const float* dout, float* dqkv, float* workspace) {
  const HeadPointers at(s, row, head);
  const int64_t queries = tile.queries(), keys = tile.keys(), width = s.head_width;
  const int64_t out_stride = s.heads * width;
  const int64_t out_at = (row * s.seq_len + tile.begin) * out_stride + head * width;
  const float scale = 1.0f / std::sqrt(static_cast<float>(width));
  const float* q = qkv + at.q + tile.begin * at.stride;
  const float* k = qkv + at.k + tile.first * at.stride;
  const float* v = qkv + at.v + tile.first * at.stride;
  float* p = workspace;
  float* dp = workspace + s.tile * s.seq_len;
  dnnl_sgemm('N', 'T', queries, keys, width, 1.0f, q, at.stride, k, at.stride, 0.0f, p, keys);
  dnnl_sgemm('N', 'T', queries, keys, width, 1.0f, dout + out_at, out_stride, v, at.stride, 0.0f,
             dp, keys);
  for (int64_t t = tile.begin; t < tile.end; ++t) {
    const int64_t i = t - tile.begin;
    ProbabilityRow(p + i * keys, spans[t] - tile.first, t + 1 - tile.first, keys, scale,
                   log_sum[(row * s.heads + head) * s.seq_len + t]);
  }
  dnnl_sgemm('T', 'N', keys, width, queries, 1.0f, p, keys, dout + out_at, out_stride, 1.0f,
             dqkv + at.v + tile.first * at.stride, at.stride);
  for (int64_t i = 0; i < queries; ++i) {
    const float d = Dot(dout + out_at + i * out_stride, out + out_at + i * out_stride, width);
    ScoreGradRow(p + i * keys, dp + i * keys, d, scale, keys);
  }
  dnnl_sgemm('N', 'N', queries, width, keys, 1.0f, dp, keys, k, at.stride, 0.0f,
             dqkv + at.q + tile.begin * at.stride, at.stride);
  dnnl_sgemm('T', 'N', keys, width, queries, 1.0f, dp, keys, q, at.stride, 1.0f,
             dqkv + at.k + tile.first * at.stride, at.stride);
}

void AttentionGrad(const AttentionShape& s, const int32_t* span_start, const void* qkv,
                   const void* out, const float* log_sum, const void* dout, void* dqkv_void,
                   float* workspace, const Stream& stream) {
  auto* dqkv = static_cast<float*>(dqkv_void);
  const int64_t per_thread = 2 * s.tile * s.seq_len + s.tile;
  const int64_t group = s.heads / s.kv_heads;
  ParallelFor(s.rows * s.kv_heads, stream, [&](int64_t task, int thread) {
    const int64_t row = task / s.kv_heads;
    const int64_t first_head = task % s.kv_heads * group;
    const HeadPointers at(s, row, first_head);
    for (int64_t t = 0; t < s.seq_len; ++t) {
      std::fill_n(dqkv + at.k + t * at.stride, s.head_width, 0.0f);
      std::fill_n(dqkv + at.v + t * at.stride, s.head_width, 0.0f);
    }
    const int32_t* spans = span_start + row * s.seq_len;
    for (int64_t head = first_head; head < first_head + group; ++head) {
      for (int64_t index = 0; index < Tiles(s); ++index) {
        AttentionGradTile(s, row, head, MakeTile(s, index, spans), spans,
                          static_cast<const float*>(qkv), static_cast<const float*>(out), log_sum,
                          static_cast<const float*>(dout), dqkv, workspace + thread * per_thread);
      }
    }
  });
}

void AttentionCached(int64_t heads, int64_t kv_heads, int64_t head_width, int64_t length,
                     const void* q_void, const void* keys, const void* values, void* out_void,
                     const Stream& stream) {
  const int64_t stride = kv_heads * head_width;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_width));
  ParallelFor(heads, stream, [&](int64_t head, int) {
    const int64_t kv = head / (heads / kv_heads);
    const float* q = static_cast<const float*>(q_void) + head * head_width;
    const float* k = static_cast<const float*>(keys) + kv * head_width;
    const float* v = static_cast<const float*>(values) + kv * head_width;
    float* out = static_cast<float*>(out_void) + head * head_width;
    thread_local std::vector<float> scores;
    scores.resize(static_cast<size_t>(length));
    for (int64_t t = 0; t < length; ++t)
      scores[static_cast<size_t>(t)] = Dot(q, k + t * stride, head_width);
    SoftmaxRow(scores.data(), 0, length, length, scale);
    std::fill_n(out, head_width, 0.0f);
    for (int64_t t = 0; t < length; ++t) {
      const float p = scores[static_cast<size_t>(t)];
      for (int64_t i = 0; i < head_width; ++i) out[i] += p * v[t * stride + i];
    }
  });
}

}  // namespace

void FillAttention(KernelTable& table) {
  table.attention = Attention;
  table.attention_grad = AttentionGrad;
  table.attention_cached = AttentionCached;
}

}  // namespace moat::tensor::cpu
