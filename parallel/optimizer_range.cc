// Optimizer ranges.
#include "parallel/optimizer_range.h"

#include <algorithm>

#include "core/error.h"

namespace moat::parallel {
namespace {

// Elements [begin, end) of a local slice, as boxes of the global tensor.
std::vector<Slice> GlobalSlices(const Slice& local, int64_t begin, int64_t end) {
  std::vector<Slice> boxes = FlatRangeAsSlices(local.shape(), begin, end);
  for (Slice& box : boxes) {
    for (size_t d = 0; d < box.begin.size(); ++d) {
      box.begin[d] += local.begin[d];
      box.end[d] += local.begin[d];
    }
  }
  return boxes;
}

}  // namespace

std::vector<OptimizerPart> OptimizerRange(const std::vector<Slice>& local, const BucketPlan& plan,
                                          int dp_index) {
  std::vector<int64_t> starts{0};
  for (const Slice& slice : local) starts.push_back(starts.back() + slice.elements());
  MOAT_CHECK(starts.back() == plan.elements(), "a bucket plan of other parameters");

  std::vector<OptimizerPart> parts;
  size_t p = 0;
  for (int bucket = 0; bucket < plan.count(); ++bucket) {
    const FlatRange owned = plan.part(bucket, dp_index);
    while (p < local.size() && starts[p + 1] <= owned.begin) ++p;
    for (; p < local.size() && starts[p] < owned.end(); ++p) {
      const int64_t begin = std::max(owned.begin, starts[p]);
      const int64_t end = std::min(owned.end(), starts[p + 1]);
      if (begin < end) {
        parts.push_back({static_cast<int>(p), begin - starts[p], end - starts[p], begin,
                         GlobalSlices(local[p], begin - starts[p], end - starts[p])});
      }
      if (starts[p + 1] > owned.end()) break;
    }
  }
  return parts;
}

}  // namespace moat::parallel
