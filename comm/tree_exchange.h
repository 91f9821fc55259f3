// Sums over ranks in the order of comm/reduction_tree.h, by messages between pairs of ranks: who
// sends what to whom, and what is added when. Nothing here knows what carries the messages.
//
// Every rank owns a block, receives every peer's values of it, a piece at a time, and adds them up
// the tree; an all-reduce then sends the blocks to all. A rank receives what a ring would bring it.
// Bits depend on the inputs and the number of ranks only, not on pieces.
//
// A Link moves and adds, each in the order given:
//   Send(ConstView, int to), Receive(View, int from)  take part in the exchange that is being made
//   Exchange()                 does it: all ranks come here; receives are then filled
//   Add(ConstView x, View y)   y += x
//   Copy(ConstView x, View y)
#pragma once

#include <algorithm>
#include <vector>

#include "comm/block.h"
#include "comm/reduction_tree.h"
#include "tensor/tensor.h"

namespace moat::comm {

template <typename Link>
class TreeExchange {
 public:
  // Memory for `scratch` elements, from which size - 1 pieces are cut. REQUIRES: size >= 2, at
  // least size - 1 elements.
  TreeExchange(int rank, int size, tensor::View scratch, Link& link)
      : rank_(rank),
        size_(size),
        piece_(scratch.count / (size - 1)),
        scratch_(scratch),
        link_(link) {
    MOAT_CHECK(size >= 2 && piece_ >= 1, "scratch holds an element of each peer");
  }

  // As Communicator::ReduceScatter.
  void ReduceScatter(tensor::ConstView input, tensor::View output) {
    Reduce(input, output, [&](int r) { return Block{r * output.count, output.count}; });
  }

  // As Communicator::AllReduce.
  void AllReduce(tensor::View buffer) {
    const auto block_of = [&](int r) { return BlockOf(buffer.count, r, size_); };
    const auto view_of = [&](int r) { return buffer.Range(block_of(r).begin, block_of(r).count); };
    Reduce(buffer, view_of(rank_), block_of);
    for (int r = 0; r < size_; ++r) {
      if (r == rank_) continue;
      if (!view_of(rank_).empty()) link_.Send(view_of(rank_), r);
      if (!view_of(r).empty()) link_.Receive(view_of(r), r);
    }
    link_.Exchange();
  }

 private:
  // `sum`: the tree over this rank's block, which may be that block of `input` itself.
  template <typename BlockOfRank>
  void Reduce(tensor::ConstView input, tensor::View sum, const BlockOfRank& block_of) {
    int64_t longest = 0;
    for (int r = 0; r < size_; ++r) longest = std::max(longest, block_of(r).count);
    for (int64_t at = 0; at < longest; at += piece_) {
      const auto piece_of = [&](int r) {
        const Block block = block_of(r);
        const int64_t begin = std::min(at, block.count);
        return Block{block.begin + begin, std::min(piece_, block.count - begin)};
      };
      const Block mine = piece_of(rank_);
      for (int r = 0; r < size_; ++r) {
        if (r == rank_) continue;
        const Block theirs = piece_of(r);
        if (theirs.count > 0) link_.Send(input.Range(theirs.begin, theirs.count), r);
        if (mine.count > 0) link_.Receive(FromPeer(r, mine.count), r);
      }
      link_.Exchange();
      if (mine.count == 0) continue;
      own_ = input.Range(mine.begin, mine.count);
      link_.Copy(Combine(0, size_), sum.Range(at, mine.count));
    }
  }

  tensor::View FromPeer(int r, int64_t count) {
    return scratch_.Range((r < rank_ ? r : r - 1) * piece_, count);
  }

  // The tree over ranks [first, first + n), in some peer's part of the scratch or, of this rank
  // alone, where it was: the input is not written.
  tensor::ConstView Combine(int first, int n) {
    if (n == 1) {
      if (first == rank_) return own_;
      return FromPeer(first, own_.count);
    }
    const int left = LeftPart(n);
    const tensor::ConstView a = Combine(first, left), b = Combine(first + left, n - left);
    // a + b and b + a have the same bits.
    const tensor::ConstView from = a.data == own_.data ? a : b, to = a.data == own_.data ? b : a;
    const tensor::View sum = scratch_.Range(OffsetInScratch(to), to.count);
    link_.Add(from, sum);
    return sum;
  }

  int64_t OffsetInScratch(tensor::ConstView view) const {
    return (static_cast<const char*>(view.data) - static_cast<const char*>(scratch_.data)) /
           core::SizeOf(scratch_.dtype);
  }

  int rank_;
  int size_;
  int64_t piece_;  // elements
  tensor::View scratch_;
  Link& link_;
  tensor::ConstView own_;
};

}  // namespace moat::comm
