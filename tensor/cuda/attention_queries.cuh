// Tiles of queries as a block of keys goes through them: the backward pass of attention.
#pragma once

#include "tensor/cuda/attention.h"
#include "tensor/cuda/attention_tile.cuh"

namespace moat::tensor::cuda {

inline constexpr int kOthers = 32;  // rows of the tiles that a block of the backward pass looks at

struct Smallest {
  __device__ static int Of(int a, int b) { return min(a, b); }
};

// A tile of queries, as the block of a tile of keys looks at it.
template <typename T, int kWidth>
struct OtherQueries {
  T q[kOthers * kPitch<T, kWidth>], dout[kOthers * kPitch<T, kWidth>];
  float log_sum[kOthers], delta[kOthers];
  int32_t spans[kOthers];
};

// Goes through the tiles of queries that see a key of the block's, of all heads of a group. A
// lane has read the span of one query of the tile after the one at hand.
template <typename T>
class QueryCursor {
 public:
  __device__ QueryCursor(const AttentionArguments<T>& a, int64_t row, int kv_head, int begin,
                         int keys)
      : a_(a), row_(row), begin_(begin), end_(begin + keys) {
    const int group = a.heads / a.kv_heads;
    head_ = kv_head * group;
    last_ = head_ + group;
    from_ = begin - kOthers;
    span_ahead_ = SpanOf(head_, begin);
  }

  // To the next one; false where there is none.
  __device__ bool Advance() {
    int span = 0;
    do {
      Next(head_, from_);
      if (head_ == last_) return false;
      span = span_ahead_;
      int head = head_, from = from_;
      Next(head, from);
      span_ahead_ = SpanOf(head, from);
    } while (OverLanes<Smallest>(span) >= end_);  // all look at later keys only
    return true;
  }

  __device__ int from() const { return from_; }
  __device__ int queries() const { return min(kOthers, a_.seq_len - from_); }
  // By the whole block; complete after WaitForCopies() and a barrier.
  template <int kWidth>
  __device__ void Load(OtherQueries<T, kWidth>& to) const {
    LoadTileLater<kOthers, kWidth>(a_.qkv + a_.InQkv(row_, from_, head_), queries(), a_.stride(),
                                   a_.head_width, a_.wide, to.q);
    LoadTileLater<kOthers, kWidth>(a_.dout + a_.InOut(row_, from_, head_), queries(),
                                   a_.out_stride(), a_.head_width, a_.wide, to.dout);
    if (WarpId() != 0) return;
    const int64_t slot = row_ * a_.seq_len + from_, at = a_.InSums(row_, from_, head_);
    const bool there = LaneId() < queries();
    const int lane = there ? LaneId() : 0;
    CopyLater<4>(to.spans + LaneId(), a_.span_start + slot + lane, there);
    CopyLater<4>(to.log_sum + LaneId(), a_.log_sum + at + lane, there);
    CopyLater<4>(to.delta + LaneId(), a_.delta + at + lane, there);
  }

 private:
  __device__ void Next(int& head, int& from) const {
    from += kOthers;
    if (from < a_.seq_len) return;
    from = begin_;
    ++head;
  }
  __device__ int SpanOf(int head, int from) const {
    const int slot = from + LaneId();
    return head < last_ && slot < a_.seq_len ? a_.span_start[row_ * a_.seq_len + slot] : a_.seq_len;
  }

  const AttentionArguments<T>& a_;
  int64_t row_;
  int begin_, end_, last_;  // keys; the group's end
  int head_, from_;
  int span_ahead_;
};

}  // namespace moat::tensor::cuda
