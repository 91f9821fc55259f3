// Canonical reduction: the order in which a step's gradients are summed, fixed for every
// data-parallel size.
//
// The micro-batches of a global batch form W ways of consecutive micro-batches. A way is summed in
// order; ways are combined in one binary tree over their numbers. A rank owns W/dp consecutive
// ways, which are whole subtrees, so the tree's shape never depends on dp.
#pragma once

#include <cstdint>

namespace moat::parallel {

struct CanonicalWays {
  int64_t micro_batches = 1;  // in one step, over all ranks
  int ways = 1;               // W, a power of two that divides micro_batches
  int dp = 1;                 // a power of two that divides W

  int64_t micro_batches_per_way() const { return micro_batches / ways; }
  int ways_per_rank() const { return ways / dp; }
  int64_t micro_batches_per_rank() const { return micro_batches / dp; }
  // Subtree sums a rank holds at once besides the one it accumulates: log2 of its ways.
  int partial_sums() const;
  // After the way-local sum number `way` (0-based, on this rank) is complete: with how many waiting
  // subtrees is it combined? (the number of trailing one bits of `way`, as in a binary counter)
  static int MergesAfter(int way);
};

// The largest power of two up to 8 that divides the number of micro-batches: the default of
// --canonical_ways.
int DefaultWays(int64_t micro_batches);

// Validates; `ways` 0 means the default. Throws ConfigError with the equation.
CanonicalWays MakeCanonicalWays(int64_t global_batch, int64_t micro_batch, int dp, int ways);

// --reduction=fast: one way a rank, summed as it comes, and no subtree sums; any dp that divides
// the micro-batches. The order over ranks is the backend's.
CanonicalWays MakeFastWays(int64_t global_batch, int64_t micro_batch, int dp);

// One of the two; `ways` matters to the canonical only.
CanonicalWays MakeWays(bool canonical, int64_t global_batch, int64_t micro_batch, int dp, int ways);

}  // namespace moat::parallel
