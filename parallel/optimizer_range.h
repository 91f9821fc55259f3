// Optimizer ranges: which part of the parameters each data rank updates under ZeRO, and writes into
// checkpoints.
//
// One function yields it for updates, checkpoints and resumes: its parts of all buckets
// (parallel/bucket_plan.h), as pieces of parameters.
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/bucket_plan.h"
#include "parallel/slice.h"

namespace moat::parallel {

// A piece of one parameter that a data rank owns: a flat range of what the tensor rank holds, and
// the same elements as boxes of the global tensor, in order of memory.
struct OptimizerPart {
  int parameter = 0;  // index in the list
  int64_t begin = 0;  // in the row-major local slice
  int64_t end = 0;
  int64_t flat = 0;           // of `begin` in the buffer of all parameters
  std::vector<Slice> slices;  // global; together end - begin elements
};

// What data rank `dp_index` owns of `local`, the slices of global tensors that this tensor rank
// holds, which lie in the plan's buffer one after the other. In order of the buffer. The ranks'
// parts tile all parameters exactly. REQUIRES: the plan is of as many elements.
std::vector<OptimizerPart> OptimizerRange(const std::vector<Slice>& local, const BucketPlan& plan,
                                          int dp_index);

}  // namespace moat::parallel
