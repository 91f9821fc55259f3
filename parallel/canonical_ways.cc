// Canonical ways.
#include "parallel/canonical_ways.h"

#include <bit>
#include <string>

#include "core/error.h"

namespace moat::parallel {

int CanonicalWays::partial_sums() const {
  return std::bit_width(static_cast<unsigned>(ways_per_rank())) - 1;
}

int CanonicalWays::MergesAfter(int way) { return std::countr_one(static_cast<unsigned>(way)); }

int DefaultWays(int64_t micro_batches) {
  int ways = 8;
  while (micro_batches % ways != 0) ways /= 2;
  return ways;
}

namespace {

std::string n(int64_t value) { return std::to_string(value); }

int64_t MicroBatches(int64_t global_batch, int64_t micro_batch) {
  if (global_batch >= 1 && micro_batch >= 1 && global_batch % micro_batch == 0) {
    return global_batch / micro_batch;
  }
  throw core::ConfigError("global_batch / micro_batch = " + n(global_batch) + " / " +
                          n(micro_batch) +
                          " is not a whole number of micro-batches; choose a "
                          "--micro_batch that divides --global_batch");
}

}  // namespace

CanonicalWays MakeFastWays(int64_t global_batch, int64_t micro_batch, int dp) {
  const int64_t micro_batches = MicroBatches(global_batch, micro_batch);
  if (dp < 1 || micro_batches % dp != 0) {
    throw core::ConfigError("global_batch / micro_batch / dp = " + n(global_batch) + " / " +
                            n(micro_batch) + " / " + n(dp) +
                            " is not whole; change --global_batch, --micro_batch or --dp");
  }
  return {micro_batches, dp, dp};
}

CanonicalWays MakeCanonicalWays(int64_t global_batch, int64_t micro_batch, int dp, int ways) {
  CanonicalWays result;
  result.micro_batches = MicroBatches(global_batch, micro_batch);
  result.ways = ways == 0 ? DefaultWays(result.micro_batches) : ways;
  result.dp = dp;
  if (!std::has_single_bit(static_cast<unsigned>(result.ways)) ||
      result.micro_batches % result.ways != 0) {
    throw core::ConfigError("--canonical_ways=" + n(ways) +
                            " must be a power of two that divides "
                            "global_batch / micro_batch = " +
                            n(global_batch) + " / " + n(micro_batch) + " = " +
                            n(result.micro_batches));
  }
  if (dp < 1 || result.ways % dp != 0) {
    throw core::ConfigError(
        "--reduction=canonical needs a dp that divides its ways: ways / dp = " + n(result.ways) +
        " / " + n(dp) +
        " is not whole (ways is the largest power of two up to 8 that divides "
        "global_batch / micro_batch = " +
        n(global_batch) + " / " + n(micro_batch) + " = " + n(result.micro_batches) +
        "); choose --dp from the powers of two up to " + n(result.ways) +
        ", or change --global_batch, --micro_batch or --canonical_ways");
  }
  return result;
}

CanonicalWays MakeWays(bool canonical, int64_t global_batch, int64_t micro_batch, int dp,
                       int ways) {
  return canonical ? MakeCanonicalWays(global_batch, micro_batch, dp, ways)
                   : MakeFastWays(global_batch, micro_batch, dp);
}

}  // namespace moat::parallel
