// The tree in which values of several ranks are combined, defined once for every backend.
//
// A group of n is cut into its first LeftPart(n) ranks and the rest, each combined in the same way,
// then left with right: 4 ranks give (r0+r1)+(r2+r3), 3 give (r0+r1)+r2, 6 give
// ((r0+r1)+(r2+r3))+(r4+r5). So a power-of-two run of ranks is always one subtree.
#pragma once

#include <bit>
#include <cstdint>

#include "comm/reduce_op.h"
#include "core/dtype.h"

namespace moat::comm {

// The largest power of two below n. REQUIRES: n >= 2.
inline int LeftPart(int n) {
  return static_cast<int>(std::bit_floor(static_cast<unsigned>(n - 1)));
}

// Are sums of this dtype offered? (f32, f64, u64, i64)
bool CanReduce(core::DType dtype);

// out[i] = the tree over sources[0..n)[i], for `count` elements. `out` may be one of the sources
// (exactly), and overlaps no other. REQUIRES: CanReduce(dtype), 1 <= n <= 1024. Bits depend on the
// values and n only. Runs in the caller's thread.
void ReduceTree(core::DType dtype, ReduceOp op, const void* const* sources, int n, int64_t count,
                void* out);

}  // namespace moat::comm
