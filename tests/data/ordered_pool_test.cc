// The pool: order, bounds, and what happens to exceptions.
#include "data/ordered_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <system_error>

#include "core/clock.h"

namespace moat::data {
namespace {

struct Item {
  int64_t in = 0, out = 0;
};

TEST(OrderedPool, WorksOnEverythingOnceAndKeepsTheOrder) {
  for (const int threads : {1, 2, 5}) {
    std::vector<int64_t> got;
    OrderedPool<Item> pool(
        threads, [](Item& item) { item.out += 2 * item.in + 1; },
        [&](Item& item) { got.push_back(item.out); });
    for (int64_t i = 0; i < 100'000; ++i) pool.Add({i, 0}, i % 97);
    pool.Finish();
    ASSERT_EQ(got.size(), 100'000u);
    for (int64_t i = 0; i < 100'000; ++i) ASSERT_EQ(got[static_cast<size_t>(i)], 2 * i + 1);
  }
}

TEST(OrderedPool, NothingAddedIsNothingConsumed) {
  int consumed = 0;
  OrderedPool<Item> pool(
      2, [](Item&) {}, [&](Item&) { ++consumed; });
  pool.Finish();
  EXPECT_EQ(consumed, 0);
}

TEST(OrderedPool, HoldsFewBatchesHoweverSlowTheConsumerIs) {
  std::atomic<int64_t> worked{0};
  int64_t consumed = 0, most = 0;
  OrderedPool<Item> pool(
      2, [&](Item&) { ++worked; },
      [&](Item&) {
        ++consumed;
        most = std::max(most, worked - consumed);
      });
  for (int64_t i = 0; i < 300; ++i) pool.Add({i, 0}, 1 << 20);  // a batch each
  pool.Finish();
  EXPECT_EQ(consumed, 300);
  EXPECT_LE(most, 4 * 2 + 4 + 1);
}

// The line is short in bytes too: batches of 40 MB, and a consumer that is the slowest of all.
TEST(OrderedPool, HoldsFewGiantItems) {
  std::atomic<int64_t> worked{0};
  int64_t consumed = 0, most = 0;
  OrderedPool<Item> pool(
      2, [&](Item&) { ++worked; },
      [&](Item&) {
        const double until = core::MonotonicSeconds() + 2e-3;
        while (core::MonotonicSeconds() < until) {
        }
        ++consumed;
        most = std::max(most, worked - consumed);
      });
  for (int64_t i = 0; i < 40; ++i) pool.Add({i, 0}, 40 << 20);
  pool.Finish();
  EXPECT_EQ(consumed, 40);
  EXPECT_LE(most, 2);
}

// Whether it fails in the worker or the consumer, Add or Finish throws it and nothing hangs.
TEST(OrderedPool, ThrowsWhatAThreadThrew) {
  for (const bool in_worker : {true, false}) {
    const auto fail_at = [](int64_t i) {
      if (i == 5000) throw std::runtime_error("number 5000");
    };
    int64_t consumed = 0;
    const auto work_on_a_million = [&] {
      OrderedPool<Item> pool(
          2,
          [&](Item& item) {
            if (in_worker) fail_at(item.in);
          },
          [&](Item& item) {
            if (!in_worker) fail_at(item.in);
            EXPECT_EQ(item.in, consumed++);
          });
      for (int64_t i = 0; i < 1'000'000; ++i) pool.Add({i, 0}, 100);
      pool.Finish();
    };
    EXPECT_THROW(work_on_a_million(), std::runtime_error);
    EXPECT_LE(consumed, 5000);  // the consumer ended with the pool
  }
}

// A limit on addresses stands in for a system that has no threads left; sanitizers need more of
// them than any limit leaves.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(OrderedPool, TooManyThreadsAreAnErrorAndNotAHang) {
  const auto ask_for_too_many = [] {
    alarm(20);  // a hang is a death by SIGALRM
    const rlimit limit{1 << 30, 1 << 30};
    setrlimit(RLIMIT_AS, &limit);
    try {
      OrderedPool<Item> pool(
          4096, [](Item&) {}, [](Item&) {});
    } catch (const std::system_error&) {
      _exit(3);
    }
    _exit(0);
  };
  EXPECT_EXIT(ask_for_too_many(), ::testing::ExitedWithCode(3), "");
}
#endif

TEST(OrderedPool, CanBeLeftUnfinished) {
  OrderedPool<Item> pool(
      2, [](Item&) {}, [](Item&) {});
  for (int64_t i = 0; i < 10'000; ++i) pool.Add({i, 0}, 100);
}

}  // namespace
}  // namespace moat::data
