// Cuts into buckets and their parts.
#include "parallel/bucket_plan.h"

#include <algorithm>

#include "core/error.h"

namespace moat::parallel {

BucketPlan::BucketPlan(int64_t elements, int dp, int64_t block, int64_t bucket)
    : elements_(elements), block_(block), dp_(dp) {
  MOAT_CHECK(elements >= 0 && dp >= 1 && block >= 1 && bucket >= 1, "a bucket plan of something");
  const int64_t unit = block * dp;
  padded_ = (elements + unit - 1) / unit * unit;
  bucket_ = (bucket + unit - 1) / unit * unit;
}

FlatRange BucketPlan::bucket(int i) const {
  MOAT_CHECK(i >= 0 && i < count(), "a bucket of the plan");
  const int64_t begin = i * bucket_;
  return {begin, std::min(bucket_, padded_ - begin)};
}

FlatRange BucketPlan::part(int i, int dp_index) const {
  MOAT_CHECK(dp_index >= 0 && dp_index < dp_, "a data rank of the plan");
  const FlatRange whole = bucket(i);
  const int64_t count = whole.count / dp_;
  return {whole.begin + count * dp_index, count};
}

}  // namespace moat::parallel
