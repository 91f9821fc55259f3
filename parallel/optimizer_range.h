// Optimizer ranges: which part of the parameters each data rank updates under ZeRO, and writes into
// checkpoints where state is replicated.
//
// The parameters' elements are cut into fixed blocks, each parameter starting a new one; a data
// rank owns a run of consecutive blocks. So no cut depends on dp but by choosing among the same
// boundaries, and sums per block have the same bits on every grid.
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/slice.h"

namespace moat::parallel {

inline constexpr int64_t kOptimizerBlock = 1024;  // elements

// The part of one parameter that a data rank owns: a flat range of what the tensor rank holds, and
// the same elements as boxes of the global tensor, in order of memory.
struct OptimizerPart {
  int parameter = 0;  // index in the list
  int64_t begin = 0;  // flat, in the row-major local slice
  int64_t end = 0;
  std::vector<Slice> slices;  // global; together end - begin elements
};

// What data rank `dp_index` of `dp` owns of `local`, the slices of global tensors that this tensor
// rank holds, in parameter order. The ranks' parts tile all parameters exactly.
std::vector<OptimizerPart> OptimizerRange(const std::vector<Slice>& local, int dp_index, int dp,
                                          int64_t block = kOptimizerBlock);

}  // namespace moat::parallel
