// Gradient sums have the same bits for every dp, and move no more than they may.
#include "trainer/gradient_sync.h"

#include <gtest/gtest.h>

#include <mutex>

#include "comm/threads.h"
#include "tests/support/values.h"

namespace moat::trainer {
namespace {

constexpr int64_t kCount = 5003;

constexpr int64_t kBlock = 16;

struct How {
  comm::Order order = comm::Order::kTree;
  bool sharded = false;
};

// The sums as all ranks together hold them; `received`: the most that a rank received.
std::vector<float> Reduce(int dp, int64_t micro_batches, int ways, How how = {},
                          uint64_t* received = nullptr) {
  std::vector<float> result(kCount);
  std::mutex mutex;
  comm::ThreadGroup::Run(dp, [&](comm::Communicator& data) {
    const auto plan =
        parallel::MakeWays(how.order == comm::Order::kTree, micro_batches, 1, dp, ways);
    const parallel::BucketPlan buckets(kCount, dp, kBlock, 1000);
    tensor::Tensor gradients(buckets.padded(), core::DType::kF32);
    tensor::Stream stream;
    GradientSync sync(gradients.view(), 1, buckets, how.sharded, plan, how.order, data);
    const uint64_t before = data.traffic().received_bytes;
    for (int64_t i = 0; i < plan.micro_batches_per_rank(); ++i) {
      const int64_t number = data.rank() * plan.micro_batches_per_rank() + i;
      const auto values =
          testing::RandomValues("micro-batch " + std::to_string(number), kCount, 1e3f);
      float* g = gradients.view().as<float>();
      const bool add = sync.accumulates();
      for (size_t e = 0; e < values.size(); ++e) g[e] = add ? g[e] + values[e] : values[e];
      sync.OnGradReady(0);
      sync.FinishMicroBatch(stream);
    }
    sync.Finish(stream);
    const std::lock_guard lock(mutex);
    const float* g = gradients.view().as<float>();
    for (int i = 0; i < buckets.count(); ++i) {
      const auto mine = how.sharded ? buckets.part(i, data.rank()) : buckets.bucket(i);
      for (int64_t e = mine.begin; e < std::min(kCount, mine.end()); ++e) {
        result[static_cast<size_t>(e)] = g[e];
      }
    }
    if (received) *received = std::max(*received, data.traffic().received_bytes - before);
  });
  return result;
}

TEST(GradientSync, SumsHaveTheSameBitsForEveryDpShardedOrNot) {
  for (const auto& [micro_batches, ways] :
       {std::pair{16, 8}, std::pair{8, 8}, std::pair{24, 8}, std::pair{4, 4}}) {
    const auto one = Reduce(1, micro_batches, ways);
    for (int dp = 2; dp <= ways; dp *= 2) {
      for (const bool sharded : {false, true}) {
        const How how{comm::Order::kTree, sharded};
        EXPECT_TRUE(testing::SameBits(one, Reduce(dp, micro_batches, ways, how))) << "dp=" << dp;
      }
    }
  }
}

TEST(GradientSync, AnotherOrderHasOtherBits) {  // the guard above can fail
  EXPECT_FALSE(testing::SameBits(Reduce(1, 16, 8), Reduce(1, 16, 4)));
}

TEST(GradientSync, FastSumsAreTheSameNumbersForAnyDp) {
  const auto canonical = Reduce(1, 12, 4);
  for (const int dp : {1, 2, 3, 4, 6}) {
    const auto fast = Reduce(dp, 12, 0, {comm::Order::kAny, dp == 3});
    EXPECT_LT(testing::RelativeError(fast, canonical), 1e-6) << "dp=" << dp;
  }
  EXPECT_THROW(parallel::MakeFastWays(12, 1, 5), core::ConfigError);
}

// As in a ring: 2 (dp-1)/dp gradients where all ranks want all, half of that where each wants its
// part.
TEST(GradientSync, NoRankReceivesMoreThanInARing) {
  for (const int dp : {2, 4, 8}) {
    for (const bool sharded : {false, true}) {
      uint64_t received = 0;
      Reduce(dp, 16, 8, {comm::Order::kTree, sharded}, &received);
      const double padded =
          static_cast<double>(parallel::BucketPlan(kCount, dp, kBlock, 1000).padded());
      const double share = (dp - 1.0) / dp * (sharded ? 1 : 2);
      EXPECT_GT(received, 0u);
      EXPECT_LE(static_cast<double>(received), share * padded * 4 * 1.02)
          << "dp=" << dp;  // 2%: blocks of 16 elements
    }
  }
}

TEST(GradientSync, AForgottenParameterIsABug) {
  comm::ThreadGroup::Run(1, [&](comm::Communicator& data) {
    tensor::Tensor gradients(kCount, core::DType::kF32);
    tensor::Stream stream;
    GradientSync sync(gradients.view(), 2, {kCount, 1, 1}, false,
                      parallel::MakeCanonicalWays(1, 1, 1, 0), comm::Order::kTree, data);
    sync.OnGradReady(0);
    EXPECT_THROW(sync.FinishMicroBatch(stream), core::BugError);
  });
}

}  // namespace
}  // namespace moat::trainer
