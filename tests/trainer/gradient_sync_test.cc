// Gradient sums have the same bits for every dp, and move no more than they may.
#include "trainer/gradient_sync.h"

#include <gtest/gtest.h>

#include <mutex>

#include "comm/threads.h"
#include "tests/support/values.h"

namespace moat::trainer {
namespace {

constexpr int64_t kCount = 5003;

std::vector<float> Reduce(int dp, int64_t micro_batches, int ways, uint64_t* received = nullptr,
                          comm::Order order = comm::Order::kTree) {
  std::vector<float> result;
  std::mutex mutex;
  comm::ThreadGroup::Run(dp, [&](comm::Communicator& data) {
    const auto plan = order == comm::Order::kAny
                          ? parallel::MakeFastWays(micro_batches, 1, dp)
                          : parallel::MakeCanonicalWays(micro_batches, 1, dp, ways);
    tensor::Tensor gradients(kCount, core::DType::kF32);
    tensor::Stream stream;
    GradientSync sync(gradients.view(), 1, plan, order, data);
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
    if (data.rank() == 0) result.assign(g, g + kCount);
    if (received) *received = std::max(*received, data.traffic().received_bytes - before);
  });
  return result;
}

TEST(GradientSync, SumsHaveTheSameBitsForEveryDp) {
  for (const auto& [micro_batches, ways] :
       {std::pair{16, 8}, std::pair{8, 8}, std::pair{24, 8}, std::pair{4, 4}}) {
    const auto one = Reduce(1, micro_batches, ways);
    for (int dp = 2; dp <= ways; dp *= 2) {
      EXPECT_TRUE(testing::SameBits(one, Reduce(dp, micro_batches, ways))) << "dp=" << dp;
    }
  }
}

TEST(GradientSync, AnotherOrderHasOtherBits) {  // the guard above can fail
  EXPECT_FALSE(testing::SameBits(Reduce(1, 16, 8), Reduce(1, 16, 4)));
}

TEST(GradientSync, FastSumsAreTheSameNumbersForAnyDp) {
  const auto canonical = Reduce(1, 12, 4);
  for (const int dp : {1, 2, 3, 4, 6}) {
    const auto fast = Reduce(dp, 12, 0, nullptr, comm::Order::kAny);
    EXPECT_LT(testing::RelativeError(fast, canonical), 1e-6) << "dp=" << dp;
  }
  EXPECT_THROW(parallel::MakeFastWays(12, 1, 5), core::ConfigError);
}

TEST(GradientSync, NoRankReceivesMoreThanLogDpGradients) {
  for (const int dp : {2, 4, 8}) {
    uint64_t received = 0;
    Reduce(dp, 16, 8, &received);
    EXPECT_GT(received, 0u);
    EXPECT_LE(received, static_cast<uint64_t>(std::log2(dp) * kCount * 4 * 1.02))
        << "dp=" << dp;  // 2%: blocks of 16 elements
  }
}

TEST(GradientSync, AForgottenParameterIsABug) {
  comm::ThreadGroup::Run(1, [&](comm::Communicator& data) {
    tensor::Tensor gradients(kCount, core::DType::kF32);
    tensor::Stream stream;
    GradientSync sync(gradients.view(), 2, parallel::MakeCanonicalWays(1, 1, 1, 0),
                      comm::Order::kTree, data);
    sync.OnGradReady(0);
    EXPECT_THROW(sync.FinishMicroBatch(stream), core::BugError);
  });
}

}  // namespace
}  // namespace moat::trainer
