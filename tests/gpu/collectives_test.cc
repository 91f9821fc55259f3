// Collectives of host memory and of device memory, one body for every backend. Runs under mpirun;
// has its own main, because MPI starts before the tests.
#include <cstdlib>

#include "tests/gpu/collectives.h"

namespace moat {
namespace {

using comm::Order;
using comm::ReduceOp;
using core::DType;
using tensor::HostView;
using tensor::Tensor;
using testing::Backend;

class CollectivesTest : public testing::OnBackend {
 protected:
  template <typename T>
  void ReducesExactly() {
    for (const int64_t count : testing::Counts()) {
      for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kMax, ReduceOp::kMin}) {
        Tensor buffer = Put(testing::Values<T>(rank(), count));
        group_->AllReduce(buffer.view(), op, Order::kAny, *stream_);
        std::vector<T> want;
        for (int64_t i = 0; i < count; ++i) want.push_back(testing::Expected<T>(size(), i, op));
        ASSERT_EQ(Get<T>(buffer), want) << count;
      }
      ScattersExactly<T>(count);
    }
  }

  template <typename T>
  void ScattersExactly(int64_t count) {
    for (const bool in_place : {false, true}) {
      Tensor input = Put(testing::Values<T>(rank(), count * size()));
      Tensor apart(count, core::DTypeOf<T>::value, device());
      const tensor::View own = input.view().Range(count * rank(), count);
      group_->ReduceScatter(input.view(), in_place ? own : apart.view(), ReduceOp::kSum,
                            Order::kAny, *stream_);
      std::vector<T> want;
      for (int64_t i = 0; i < count; ++i) {
        want.push_back(testing::Expected<T>(size(), count * rank() + i, ReduceOp::kSum));
      }
      std::vector<T> got = Get<T>(in_place ? input : apart);
      if (in_place) {
        const auto begin = got.begin() + count * rank();
        got = std::vector<T>(begin, begin + count);
      }
      ASSERT_EQ(got, want) << count << " in place " << in_place;
    }
  }
};
MOAT_ON_DEVICE_BACKENDS(CollectivesTest, ::testing::Values(Backend::kNccl, Backend::kStaged));
#ifndef MOAT_CUDA_IS
MOAT_ON_BACKENDS(cpu, CollectivesTest, ::testing::Values(Backend::kMpi));
#endif

TEST_P(CollectivesTest, SumsAreExact) {
  ASSERT_NO_FATAL_FAILURE(ReducesExactly<float>());
  ASSERT_NO_FATAL_FAILURE(ReducesExactly<double>());
  ASSERT_NO_FATAL_FAILURE(ReducesExactly<uint64_t>());
  ASSERT_NO_FATAL_FAILURE(ReducesExactly<int64_t>());
}

TEST_P(CollectivesTest, GatherAndBroadcastMoveEveryByte) {
  for (const int64_t count : testing::Counts()) {
    std::vector<uint8_t> want;
    for (int r = 0; r < size(); ++r) {
      const std::vector<uint8_t> theirs = testing::Values<uint8_t>(r, count);
      want.insert(want.end(), theirs.begin(), theirs.end());
    }
    const Tensor mine = Put(testing::Values<uint8_t>(rank(), count));
    Tensor all(count * size(), DType::kU8, device());
    group_->AllGather(mine.view(), all.view(), *stream_);
    ASSERT_EQ(Get<uint8_t>(all), want);
    for (int root = 0; root < size(); ++root) {
      Tensor buffer = Put(testing::Values<uint8_t>(rank(), count));
      group_->Broadcast(buffer.view(), root, *stream_);
      ASSERT_EQ(Get<uint8_t>(buffer), testing::Values<uint8_t>(root, count));
    }
  }
}

// The collective reads what the stream computes before it, and work after it reads its result.
TEST_P(CollectivesTest, AreOrderedOnTheirStream) {
  const int64_t n = testing::kEmulated ? 16 : 256;
  for (int round = 0; round < 10; ++round) {
    const Tensor ones = Put(std::vector<float>(static_cast<size_t>(n * n), 1.0f));
    Tensor product(n * n, DType::kF32, device()), after(n * n, DType::kF32, device());
    tensor::MatMul(false, false, n, n, n, ones.view(), ones.view(), {}, product.view(), false,
                   *stream_);
    group_->AllReduce(product.view(), ReduceOp::kSum, Order::kAny, *stream_);
    tensor::Copy(std::as_const(product).view(), after.view(), *stream_);
    ASSERT_EQ(Get<float>(after),
              std::vector<float>(static_cast<size_t>(n * n), static_cast<float>(n * size())));
  }
}

// ((r0 + r1) + (r2 + r3)) + ..., on every backend and in pieces of any size.
TEST_P(CollectivesTest, SumsInTreeOrderHaveTheirOwnBits) {
  for (const int64_t block : {1, 333, 10001}) {
    std::vector<float> mine, plain;
    for (int64_t i = 0; i < block * size(); ++i) {
      mine.push_back(testing::RandomValue(rank(), i));
      plain.push_back(testing::PlainTree(0, size(), i));
    }
    Tensor buffer = Put(mine), scattered(block, DType::kF32, device());
    group_->ReduceScatter(buffer.view(), scattered.view(), ReduceOp::kSum, Order::kTree, *stream_);
    group_->AllReduce(buffer.view(), ReduceOp::kSum, Order::kTree, *stream_);
    ASSERT_EQ(Get<float>(buffer), plain) << block;
    const auto own = plain.begin() + block * rank();
    ASSERT_EQ(Get<float>(scattered), std::vector<float>(own, own + block)) << block;
  }
}

// Nobody waits between two collectives on two streams.
TEST_P(CollectivesTest, MayChangeTheirStream) {
  const int64_t count = 5000;
  tensor::Stream other(device(), DeviceIndex());
  for (int round = 0; round < 4; ++round) {
    const Tensor mine = Put(testing::Values<float>(rank() + round, count));
    const Tensor next = Put(testing::Values<float>(rank() + round + 1, count));
    Tensor all(count * size(), DType::kF32, device()),
        all_next(count * size(), DType::kF32, device());
    stream_->Synchronize();
    group_->AllGather(mine.view(), all.view(), *stream_);
    group_->AllGather(next.view(), all_next.view(), other);
    group_->Finish(other);
    std::vector<float> want, want_next;
    for (int r = 0; r < size(); ++r) {
      for (const float v : testing::Values<float>(r + round, count)) want.push_back(v);
      for (const float v : testing::Values<float>(r + round + 1, count)) want_next.push_back(v);
    }
    ASSERT_EQ(Get<float>(all), want);
    ASSERT_EQ(Get<float>(all_next), want_next);
  }
}

TEST_P(CollectivesTest, AGroupOfAGroupWorks) {
  const auto own = group_->Group("own", {rank()});
  Tensor buffer = Put(testing::Values<float>(rank(), 100));
  own->AllReduce(buffer.view(), ReduceOp::kSum, Order::kAny, *stream_);
  EXPECT_EQ(Get<float>(buffer), testing::Values<float>(rank(), 100));
  Tensor gathered(100, DType::kF32, device());
  own->AllGather(std::as_const(buffer).view(), gathered.view(), *stream_);
  EXPECT_EQ(Get<float>(gathered), testing::Values<float>(rank(), 100));
  std::vector<int> backwards;
  for (int r = size() - 1; r >= 0; --r) backwards.push_back(r);
  const auto whole = group_->Group("backwards", backwards);
  const Tensor mine = Put(std::vector<float>{static_cast<float>(rank())});
  Tensor all(size(), DType::kF32, device());
  whole->AllGather(mine.view(), all.view(), *stream_);
  EXPECT_EQ(Get<float>(all), std::vector<float>(backwards.begin(), backwards.end()));
}

}  // namespace
}  // namespace moat

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  return moat::core::RunMain([&] {
    moat::comm::MpiSession session(&argc, &argv, {.deadline_seconds = 120});
    moat::testing::g_session = &session;
    if (session.local_size() > moat::tensor::CudaDevice().count()) {
      setenv("NCCL_HOSTID", ("moat-test-" + std::to_string(session.rank())).c_str(), 1);
      setenv("NCCL_SOCKET_IFNAME", "lo", 1);
    }
    if (session.rank() != 0) ::testing::GTEST_FLAG(output) = "";  // one report
    const int failed = RUN_ALL_TESTS();
    return session.World()->AnyOf(failed != 0) ? 1 : 0;
  });
}
