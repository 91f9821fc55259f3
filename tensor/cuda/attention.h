// What the attention kernels are told: one struct for both passes, and the choice of a kernel by
// the width of heads.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include "core/error.h"
#include "tensor/cuda/element.cuh"
#include "tensor/kernel_table.h"

namespace moat::tensor::cuda {

inline constexpr float kLog2OfE = 1.44269504f, kLogOf2 = 0.69314718f;

// Pointers to row 0 of the sequences at hand; see ops.h, Attention. Rows are those of the grid's z.
template <typename T>
struct AttentionArguments {
  int seq_len, heads, kv_heads, head_width;
  bool wide;    // heads may be read and written in pieces of 16 bytes
  float scale;  // of scores
  const int32_t* span_start;
  const T* qkv;
  T* out;         // forward
  const T* dout;  // backward, and below
  T* dqkv;
  float* log_sum;
  float* delta;  // [rows, heads, seq_len]: sums of dout * out over a head

  __device__ int64_t stride() const {
    return static_cast<int64_t>(heads + 2 * kv_heads) * head_width;
  }
  __device__ int64_t out_stride() const { return static_cast<int64_t>(heads) * head_width; }
  // Where a slot's head begins in qkv: query heads, then keys, then values.
  __device__ int64_t InQkv(int64_t row, int slot, int head) const {
    return (row * seq_len + slot) * stride() + static_cast<int64_t>(head) * head_width;
  }
  __device__ int64_t InOut(int64_t row, int slot, int head) const {
    return (row * seq_len + slot) * out_stride() + static_cast<int64_t>(head) * head_width;
  }
  __device__ int64_t InSums(int64_t row, int slot, int head) const {
    return (row * heads + head) * seq_len + slot;
  }
  __device__ int KeyHead(int kv_head) const { return heads + kv_head; }
  __device__ int ValueHead(int kv_head) const { return heads + kv_heads + kv_head; }
};

template <typename T>
AttentionArguments<T> ArgumentsOf(const AttentionShape& s, const int32_t* span_start,
                                  const void* qkv, float* log_sum, bool aligned) {
  AttentionArguments<T> a{};
  a.seq_len = static_cast<int>(s.seq_len);
  a.heads = static_cast<int>(s.heads);
  a.kv_heads = static_cast<int>(s.kv_heads);
  a.head_width = static_cast<int>(s.head_width);
  a.wide = aligned && s.head_width % kVector<T> == 0;
  a.scale = 1.0f / std::sqrt(static_cast<float>(s.head_width));
  a.span_start = span_start;
  a.qkv = static_cast<const T*>(qkv);
  a.log_sum = log_sum;
  return a;
}

// body(integral constant) with the width of tiles that hold heads of `head_width`. Throws
// ConfigError for heads that fit into none.
template <int kWidth>
struct TileWidth {
  static constexpr int value = kWidth;
};
template <typename Body>
void WithTileWidth(int64_t head_width, const Body& body) {
  if (head_width <= 64) {
    body(TileWidth<64>{});
  } else if (head_width <= 128) {
    body(TileWidth<128>{});
  } else if (head_width <= 256) {
    body(TileWidth<256>{});
  } else {
    throw core::ConfigError("attention on cuda takes heads of at most 256, not of " +
                            std::to_string(head_width) + "; use more heads or --device=cpu");
  }
}

}  // namespace moat::tensor::cuda
