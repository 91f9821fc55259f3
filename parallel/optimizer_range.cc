// Optimizer ranges.
#include "parallel/optimizer_range.h"

#include <algorithm>

#include "core/error.h"

namespace moat::parallel {

std::vector<OptimizerPart> OptimizerRange(const std::vector<Slice>& local, int dp_index, int dp,
                                          int64_t block) {
  MOAT_CHECK(dp >= 1 && dp_index >= 0 && dp_index < dp && block >= 1, "a data rank of the grid");
  int64_t blocks = 0;
  for (const Slice& slice : local) blocks += (slice.elements() + block - 1) / block;
  const int64_t first = blocks * dp_index / dp;
  const int64_t last = blocks * (dp_index + 1) / dp;

  std::vector<OptimizerPart> parts;
  int64_t at = 0;  // the number of the parameter's first block
  for (size_t p = 0; p < local.size(); ++p) {
    const int64_t elements = local[p].elements();
    const int64_t begin = std::clamp<int64_t>((first - at) * block, 0, elements);
    const int64_t end = std::clamp<int64_t>((last - at) * block, 0, elements);
    at += (elements + block - 1) / block;
    if (begin >= end) continue;
    OptimizerPart part{static_cast<int>(p), begin, end,
                       FlatRangeAsSlices(local[p].shape(), begin, end)};
    for (Slice& box : part.slices) {  // from places in the local slice to places in the tensor
      for (size_t d = 0; d < box.begin.size(); ++d) {
        box.begin[d] += local[p].begin[d];
        box.end[d] += local[p].begin[d];
      }
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace moat::parallel
