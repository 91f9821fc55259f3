// BucketPlan: the flat buffer of a rank's parameters, cut into buckets.
//
// A bucket is what is reduced at a time: its gradients go over the data group together as soon as
// all of them are complete. Under ZeRO (Rajbhandari et al., "ZeRO: Memory Optimizations Toward
// Training Trillion Parameter Models", 2020, section 5: stage 1) every data rank owns one of dp
// equal parts of every bucket: it receives their sum, updates them, and sends them round.
//
// Every cut is a multiple of a fixed block, so that sums per block have the same bits for every dp.
#pragma once

#include <cstdint>

namespace moat::parallel {

inline constexpr int64_t kOptimizerBlock = 4096;  // elements
inline constexpr int64_t kBucketElements = int64_t{4} << 20;

// A stretch of a flat buffer, in elements.
struct FlatRange {
  int64_t begin = 0;
  int64_t count = 0;
  int64_t end() const { return begin + count; }
  bool operator==(const FlatRange&) const = default;
};

class BucketPlan {
 public:
  // Of `elements` elements over `dp` ranks, in buckets of `bucket`, rounded up to a multiple of dp
  // x block.
  BucketPlan(int64_t elements, int dp, int64_t block = kOptimizerBlock,
             int64_t bucket = kBucketElements);

  int dp() const { return dp_; }
  int64_t block() const { return block_; }
  int64_t elements() const { return elements_; }
  // What buffers must hold so that every bucket has dp equal parts: `elements` rounded up to a
  // multiple of dp x block. What lies beyond `elements` is never looked at.
  int64_t padded() const { return padded_; }
  int count() const { return static_cast<int>((padded_ + bucket_ - 1) / bucket_); }
  FlatRange bucket(int i) const;
  // The part of bucket i that belongs to a data rank.
  FlatRange part(int i, int dp_index) const;

 private:
  int64_t elements_, block_, padded_, bucket_;
  int dp_;
};

}  // namespace moat::parallel
