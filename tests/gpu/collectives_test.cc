// Collectives of host memory over MPI and of device memory over NCCL, one body. Runs under mpirun;
// has its own main, because MPI starts before the tests.
//
// NCCL wants a device for each rank. Where there are fewer, ranks share and pose as hosts of their
// own (NCCL_HOSTID), which NCCL lets through on its socket transport: for tests only.
#include <cstdlib>
#include <optional>

#include "comm/mpi.h"
#include "comm/nccl.h"
#include "core/error.h"
#include "tests/conformance/communicator_suite.h"
#include "tests/gpu/on_device.h"

namespace moat {
namespace {

using comm::Order;
using comm::ReduceOp;
using core::DType;
using tensor::HostView;
using tensor::Tensor;

comm::MpiSession* g_session = nullptr;

int DeviceIndex() { return g_session->local_rank() % std::max(1, tensor::CudaDevice().count()); }

class CollectivesTest : public ::testing::TestWithParam<core::DeviceKind> {
 protected:
  void SetUp() override {
    if (device() == core::DeviceKind::kCpu) {
      group_ = g_session->World();
      stream_.emplace();
      return;
    }
    if (comm::NcclVersion() == 0) GTEST_SKIP() << "this build has no NCCL";
    if (tensor::CudaDevice().count() == 0) {
      GTEST_SKIP() << "no CUDA device: " << tensor::LookAtCuda().problem;
    }
    stream_.emplace(device(), DeviceIndex());
    group_ = comm::MakeNccl(g_session->World());
    group_->SetDeadline(60);
  }

  core::DeviceKind device() const { return GetParam(); }
  int size() const { return group_->size(); }
  int rank() const { return group_->rank(); }

  template <typename T>
  Tensor Put(const std::vector<T>& values) {
    Tensor there(std::ssize(values), core::DTypeOf<T>::value, device());
    tensor::Copy(HostView(values.data(), std::ssize(values)), there.view(), *stream_);
    return there;
  }
  template <typename T>
  std::vector<T> Get(const Tensor& there) {
    std::vector<T> values(static_cast<size_t>(there.count()));
    tensor::Copy(there.view(), HostView(values.data(), there.count()), *stream_);
    group_->Finish(*stream_);
    return values;
  }

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

  std::unique_ptr<comm::Communicator> group_;
  std::optional<tensor::Stream> stream_;
};
MOAT_ON_EVERY_DEVICE(CollectivesTest);

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
  const int64_t n = 256;
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

class NcclTest : public CollectivesTest {};
MOAT_ON_CUDA(NcclTest);

TEST_P(NcclTest, ChecksItself) { comm::CheckNccl(*stream_); }

TEST_P(NcclTest, AMixUpIsToldToAllBeforeAnythingIsEnqueued) {
  if (size() == 1) return;
  Tensor buffer(64, DType::kF32, device());
  try {
    group_->AllReduce(buffer.view().Range(0, rank() == 0 ? 64 : 63), ReduceOp::kSum, Order::kAny,
                      *stream_);
    FAIL() << "a mix-up went unnoticed";
  } catch (const core::BugError& error) {
    EXPECT_NE(std::string(error.what()).find("64 f32"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("63 f32"), std::string::npos) << error.what();
  }
  EXPECT_TRUE(stream_->Done());
}

TEST_P(NcclTest, ARankThatDoesNotComeIsNamed) {
  if (size() == 1) return;
  Tensor buffer(64, DType::kF32, device());
  group_->AllReduce(buffer.view(), ReduceOp::kSum, Order::kAny, *stream_);  // connects
  group_->Finish(*stream_);
  const int missing = size() - 1;
  if (rank() == missing) return;
  group_->SetDeadline(1);
  try {
    group_->AllReduce(buffer.view(), ReduceOp::kSum, Order::kAny, *stream_);
    FAIL() << "a missing rank went unnoticed";
  } catch (const core::PeerError& error) {
    const std::string what = error.what();
    EXPECT_NE(what.find("missing: rank " + std::to_string(missing)), std::string::npos) << what;
    EXPECT_NE(what.find("all_reduce(sum, 64 f32"), std::string::npos) << what;
  }
}

// Rank 1 agrees to the call and takes the id, then goes no further: rank 0 waits inside NCCL, and
// is released by the deadline.
TEST_P(NcclTest, APeerThatStopsInsideNcclEndsAtTheDeadline) {
  if (size() != 2) return;
  std::unique_ptr<comm::Communicator> control = g_session->World();
  tensor::Stream host;
  if (rank() == 1) {
    const comm::Call call{.kind = comm::Call::Kind::kAllReduce,
                          .count = 64,
                          .dtype = DType::kF32,
                          .op = ReduceOp::kSum,
                          .order = Order::kAny};
    comm::Call::Words mine = call.words(), all[2];
    control->AllGather(HostView(mine.data(), 2), HostView(all[0].data(), 4), host);
    uint8_t id[128];
    control->Broadcast(HostView(id, std::ssize(id)), 0, host);
    return;
  }
  const auto group = comm::MakeNccl(std::move(control));
  group->SetDeadline(3);
  Tensor buffer(64, DType::kF32, device());
  try {
    group->AllReduce(buffer.view(), ReduceOp::kSum, Order::kAny, *stream_);
    group->Finish(*stream_);
    FAIL() << "a peer that stopped went unnoticed";
  } catch (const core::PeerError& error) {
    EXPECT_NE(std::string(error.what()).find("all_reduce(sum, 64 f32"), std::string::npos)
        << error.what();
  }
}

TEST_P(NcclTest, SumsInCanonicalOrderAreRefusedWhereNcclKeepsNone) {
  Tensor buffer(64, DType::kF32, device());
  const auto sum = [&] {
    group_->AllReduce(buffer.view(), ReduceOp::kSum, Order::kTree, *stream_);
  };
  if (size() > 2) {
    EXPECT_THROW(sum(), core::ConfigError);
  } else {
    EXPECT_NO_THROW(sum());
  }
}

// The host's side of an NCCL communicator needs no device.
class NcclHostSide : public ::testing::Test {
 protected:
  void SetUp() override {
    if (comm::NcclVersion() == 0) GTEST_SKIP() << "this build has no NCCL";
  }
};

TEST_F(NcclHostSide, ConformsForHostMemory) {
  const int64_t piece = comm::MpiOptions().piece_bytes;
  const int64_t buffer = int64_t{4} * 64 * 1000 * g_session->size();
  testing::CommunicatorConforms(*comm::MakeNccl(g_session->World()), buffer / piece + 1);
}

TEST_F(NcclHostSide, PassesOnWhatIsWrong) {
  if (g_session->size() == 1) return;
  testing::MixUpIsAnError(*comm::MakeNccl(g_session->World()));
  testing::MissingRankIsNamed(*comm::MakeNccl(g_session->World()));
}

}  // namespace
}  // namespace moat

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  return moat::core::RunMain([&] {
    moat::comm::MpiSession session(&argc, &argv, {.deadline_seconds = 120});
    moat::g_session = &session;
    if (session.local_size() > moat::tensor::CudaDevice().count()) {
      setenv("NCCL_HOSTID", ("moat-test-" + std::to_string(session.rank())).c_str(), 1);
      setenv("NCCL_SOCKET_IFNAME", "lo", 1);
    }
    if (session.rank() != 0) ::testing::GTEST_FLAG(output) = "";  // one report
    const int failed = RUN_ALL_TESTS();
    return session.World()->AnyOf(failed != 0) ? 1 : 0;
  });
}
