// Gradient sums have the same bits for every dp, and move no more than they may.
#include "trainer/gradient_sync.h"
#include "tests/support/forwarding_communicator.h"

#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <thread>

#include "comm/self.h"
#include "comm/threads.h"
#include "core/clock.h"
#include "tests/support/errors.h"
#include "tests/support/values.h"

namespace moat::trainer {
namespace {

constexpr int64_t kCount = 5003;

constexpr int64_t kBlock = 16;

// The sums as all ranks together hold them; `received`: the most that a rank received.
std::vector<float> Reduce(int dp, int64_t micro_batches, int ways, SyncOptions how = {},
                          uint64_t* received = nullptr) {
  std::vector<float> result(kCount);
  std::mutex mutex;
  comm::ThreadGroup::Run(dp, [&](comm::Communicator& data) {
    const auto plan =
        parallel::MakeWays(how.order == comm::Order::kTree, micro_batches, 1, dp, ways);
    const parallel::BucketPlan buckets(kCount, dp, kBlock, 1000);
    tensor::Tensor gradients(buckets.padded(), core::DType::kF32);
    tensor::Stream stream;
    const std::vector<parallel::FlatRange> layout = {{0, 1500}, {1500, 700}, {2200, kCount - 2200}};
    GradientSync sync(gradients.view(), layout, buckets, plan, how, data);
    const uint64_t before = data.traffic().received_bytes;
    for (int64_t i = 0; i < plan.micro_batches_per_rank(); ++i) {
      const int64_t number = data.rank() * plan.micro_batches_per_rank() + i;
      const auto values =
          testing::RandomValues("micro-batch " + std::to_string(number), kCount, 1e3f);
      float* g = gradients.view().as<float>();
      const bool add = sync.accumulates();
      for (size_t e = 0; e < values.size(); ++e) g[e] = add ? g[e] + values[e] : values[e];
      for (const int parameter : {2, 0, 1}) sync.OnGradReady(parameter, stream);
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

TEST(GradientSync, SumsHaveTheSameBitsForEveryDpShardedOrNotOverlappedOrNot) {
  for (const auto& [micro_batches, ways] :
       {std::pair{16, 8}, std::pair{8, 8}, std::pair{24, 8}, std::pair{4, 4}}) {
    const auto one = Reduce(1, micro_batches, ways);
    for (int dp = 2; dp <= ways; dp *= 2) {
      for (const bool sharded : {false, true}) {
        for (const Overlap overlap : {Overlap::kNone, Overlap::kBackward}) {
          const SyncOptions how{comm::Order::kTree, sharded, overlap};
          EXPECT_TRUE(testing::SameBits(one, Reduce(dp, micro_batches, ways, how))) << "dp=" << dp;
        }
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
    const auto fast = Reduce(dp, 12, 0, {comm::Order::kAny, dp == 3, Overlap::kNone});
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
      Reduce(dp, 16, 8, {comm::Order::kTree, sharded, Overlap::kNone}, &received);
      const double padded =
          static_cast<double>(parallel::BucketPlan(kCount, dp, kBlock, 1000).padded());
      const double share = (dp - 1.0) / dp * (sharded ? 1 : 2);
      EXPECT_GT(received, 0u);
      EXPECT_LE(static_cast<double>(received), share * padded * 4 * 1.02)
          << "dp=" << dp;  // 2%: blocks of 16 elements
    }
  }
}

TEST(GradientSync, AParameterForgottenOrAnnouncedTwiceIsABug) {
  comm::ThreadGroup::Run(1, [&](comm::Communicator& data) {
    tensor::Tensor gradients(kCount, core::DType::kF32);
    tensor::Stream stream;
    GradientSync sync(gradients.view(), {{0, 10}, {10, kCount - 10}}, {kCount, 1, 1},
                      parallel::MakeCanonicalWays(1, 1, 1, 0), {}, data);
    sync.OnGradReady(0, stream);
    EXPECT_THROW(sync.OnGradReady(0, stream), core::BugError);
    EXPECT_THROW(sync.FinishMicroBatch(stream), core::BugError);
  });
}

TEST(GradientSync, RanksThatCutOtherBucketsAreFoundAtTheStart) {
  EXPECT_THROW(comm::ThreadGroup::Run(2,
                                      [&](comm::Communicator& data) {
                                        const parallel::BucketPlan plan(
                                            kCount, 2, kBlock, data.rank() == 0 ? 1000 : 2000);
                                        tensor::Tensor gradients(plan.padded(), core::DType::kF32);
                                        GradientSync(gradients.view(), {{0, kCount}}, plan,
                                                     parallel::MakeCanonicalWays(2, 1, 2, 0), {},
                                                     data);
                                      }),
               core::BugError);
}

// A group whose work must be alone on a device, as NCCL's.
class AloneOnDevice : public testing::ForwardingCommunicator {
 public:
  using ForwardingCommunicator::ForwardingCommunicator;
  bool alone_on_device() const override { return true; }
};

TEST(ResolveOverlap, TwoGroupsThatMustBeAloneOnADeviceAreNotAtWorkAtOnce) {
  using Mode = configs::OverlapMode;
  comm::ThreadGroup::Run(2, [&](comm::Communicator& two) {
    const auto one = comm::MakeSelf();
    const AloneOnDevice alone(two), alone_of_one(*one);
    EXPECT_EQ(ResolveOverlap(Mode::kAuto, true, alone, alone), Mode::kOff);
    EXPECT_EQ(ResolveOverlap(Mode::kOff, true, alone, alone), Mode::kOff);
    const std::string said = testing::ErrorOf(
        core::ExitCode::kConfig, [&] { ResolveOverlap(Mode::kOn, true, alone, alone); });
    EXPECT_NE(said.find("--overlap=on with --tp=2"), std::string::npos) << said;
    // There is one of them only, or they are not of that kind.
    EXPECT_EQ(ResolveOverlap(Mode::kAuto, true, alone, *one), Mode::kOn);
    EXPECT_EQ(ResolveOverlap(Mode::kOn, false, alone_of_one, alone), Mode::kOn);
    EXPECT_EQ(ResolveOverlap(Mode::kAuto, true, two, two), Mode::kOn);
    EXPECT_EQ(ResolveOverlap(Mode::kAuto, false, two, two), Mode::kOff);
  });
}

// The rank that fails in its backward pass does not wait for peers that wait for it.
TEST(GradientSync, AnErrorInTheMiddleOfAStepGivesTheGroupUp) {
  const double start = core::MonotonicSeconds();
  EXPECT_THROW(comm::ThreadGroup::Run(
                   2,
                   [&](comm::Communicator& data) {
                     const parallel::BucketPlan plan(kCount, 2, kBlock, 1000);
                     tensor::Tensor gradients(plan.padded(), core::DType::kF32);
                     tensor::Stream stream;
                     GradientSync sync(gradients.view(), {{0, 3000}, {3000, kCount - 3000}}, plan,
                                       parallel::MakeCanonicalWays(2, 1, 2, 0),
                                       {comm::Order::kTree, true, Overlap::kBackward}, data);
                     if (data.rank() == 1) {
                       sync.OnGradReady(1, stream);
                       throw core::NumericsError("planted");
                     }
                     // Rank 0 is slow to begin: rank 1's thread waits for it meanwhile.
                     data.Barrier();
                   },
                   60),
               core::Error);
  EXPECT_LT(core::MonotonicSeconds() - start, 30);
}

// A communicator that does something of its own before or after each sum.
class Changed : public testing::ForwardingCommunicator {
 public:
  using Hook = std::function<void(tensor::View)>;
  Changed(comm::Communicator& inner, Hook before, Hook after)
      : ForwardingCommunicator(inner), before_(std::move(before)), after_(std::move(after)) {}

 protected:
  void DoAllReduce(tensor::View buffer, comm::ReduceOp op, comm::Order order,
                   tensor::Stream& stream) override {
    before_(buffer);
    ForwardingCommunicator::DoAllReduce(buffer, op, order, stream);
    after_(buffer);
  }
  void DoReduceScatter(tensor::ConstView input, tensor::View output, comm::ReduceOp op,
                       comm::Order order, tensor::Stream& stream) override {
    before_(output);
    ForwardingCommunicator::DoReduceScatter(input, output, op, order, stream);
    after_(output);
  }

 private:
  Hook before_, after_;
};

// What the proof says over two ranks and `layout`, whose parameters fill the buffer but for what a
// bug leaves out.
void Prove(
    const std::vector<parallel::FlatRange>& layout, const SyncOptions& options,
    const Changed::Hook& after = [](tensor::View) {}) {
  comm::ThreadGroup::Run(2, [&](comm::Communicator& world) {
    Changed data(
        world, [](tensor::View) {}, after);
    const parallel::BucketPlan plan(kCount, 2, kBlock, 1000);
    tensor::Tensor gradients(plan.padded(), core::DType::kF32);
    tensor::Stream stream;
    GradientSync sync(gradients.view(), layout, plan, parallel::MakeCanonicalWays(16, 1, 2, 8),
                      options, data);
    for (int i = 0; i < 2; ++i) sync.Prove(stream);
  });
}

TEST(GradientSync, TheProofFindsWhatIsAddedTwiceDividedOrLeftOut) {
  const std::vector<parallel::FlatRange> good = {{0, 1500}, {1500, kCount - 1500}};
  for (const bool sharded : {false, true}) {
    for (const Overlap overlap : {Overlap::kNone, Overlap::kBackward}) {
      const SyncOptions how{comm::Order::kTree, sharded, overlap};
      EXPECT_NO_THROW(Prove(good, how));
      const auto halved = [](tensor::View sum) {  // a mean where a sum belongs
        for (int64_t i = 0; i < sum.count; ++i) sum.as<float>()[i] /= 2;
      };
      EXPECT_THROW(Prove(good, how, halved), core::BugError);
      EXPECT_THROW(Prove({{0, 1500}, {1600, kCount - 1600}}, how), core::BugError);
    }
  }
}

// How long the ranks wait in Finish() when each of `buckets` reductions takes `delay` seconds and a
// backward pass of `compute` seconds (asleep, too, so that busy cores do not matter) completes one
// bucket after the other.
double Exposed(Overlap overlap, int buckets, double delay, double compute) {
  double exposed = 0;
  comm::ThreadGroup::Run(2, [&](comm::Communicator& world) {
    const auto wait = [&](tensor::View) {  // costs no processor, as a network's time
      std::this_thread::sleep_for(std::chrono::duration<double>(delay));
    };
    Changed data(world, wait, [](tensor::View) {});
    const parallel::BucketPlan plan(int64_t{buckets} * 1024, 2, kBlock, 1024);
    std::vector<parallel::FlatRange> layout;
    for (int i = 0; i < buckets; ++i) layout.push_back({int64_t{i} * 1024, 1024});
    tensor::Tensor gradients(plan.padded(), core::DType::kF32);
    tensor::Stream stream;
    GradientSync sync(gradients.view(), layout, plan, parallel::MakeCanonicalWays(2, 1, 2, 0),
                      {comm::Order::kTree, true, overlap}, data);
    for (int i = buckets - 1; i >= 0; --i) {
      sync.OnGradReady(i, stream);
      std::this_thread::sleep_for(std::chrono::duration<double>(compute / buckets));
    }
    sync.FinishMicroBatch(stream);
    const double start = core::MonotonicSeconds();
    sync.Finish(stream);
    if (world.rank() == 0) exposed = core::MonotonicSeconds() - start;
  });
  return exposed;
}

// A delay D shows as D where nothing hides it, and hardly where the backward pass does.
TEST(GradientSync, ADelayIsExposedInlineAndHiddenBesideTheBackwardPass) {
  const int buckets = 10;
  const double delay = 0.02, all = buckets * delay;
  EXPECT_GE(Exposed(Overlap::kNone, buckets, delay, 2 * all), all);
  double hidden = all;  // the best of three: the machine may be busy
  for (int i = 0; i < 3 && hidden > 0.2 * all; ++i) {
    hidden = std::min(hidden, Exposed(Overlap::kBackward, buckets, delay, 2 * all));
  }
  EXPECT_LE(hidden, 0.2 * all);
  EXPECT_GE(Exposed(Overlap::kBackward, buckets, delay, 0), 0.8 * all);  // nothing to hide behind
}

}  // namespace
}  // namespace moat::trainer
