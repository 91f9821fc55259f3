// Groups of device memory over a control group: what goes wrong is told to all, and host memory
// takes the other path.
#include <thread>

#include "tests/gpu/collectives.h"

namespace moat {
namespace {

using comm::Order;
using comm::ReduceOp;
using core::DType;
using tensor::Tensor;
using testing::Backend;

// What NCCL's and the staged group promise besides, on device memory.
class DeviceGroupTest : public testing::OnBackend {};
MOAT_ON_DEVICE_BACKENDS(DeviceGroupTest, ::testing::Values(Backend::kNccl, Backend::kStaged));

TEST_P(DeviceGroupTest, AMixUpIsToldToAllBeforeAnythingIsEnqueued) {
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

TEST_P(DeviceGroupTest, ARankThatDoesNotComeIsNamed) {
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

class StagedTest : public testing::OnBackend {};
MOAT_ON_DEVICE_BACKENDS(StagedTest, ::testing::Values(Backend::kStaged));

TEST_P(StagedTest, AGroupMayGoBeforeItsLastCopyIsDone) {
  Tensor buffer = Put(testing::Values<float>(rank(), 100));
  group_->Broadcast(buffer.view(), 0, *stream_);
  group_.reset();
  std::vector<float> values(100);
  tensor::Copy(std::as_const(buffer).view(), testing::HostView(values.data(), 100), *stream_);
  stream_->Synchronize();
  EXPECT_EQ(values, testing::Values<float>(0, 100));
}

#ifndef MOAT_CUDA_IS  // once is enough
// The side that moves host memory needs no device.
class DeviceGroupHostSide : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    if (GetParam() == Backend::kNccl && comm::NcclVersion() == 0) {
      GTEST_SKIP() << "this build has no NCCL";
    }
  }
  std::unique_ptr<comm::Communicator> Make() const {
    return GetParam() == Backend::kNccl ? comm::MakeNccl(testing::g_session->World())
                                        : comm::MakeStaged(testing::g_session->World());
  }
};
MOAT_ON_BACKENDS(cpu, DeviceGroupHostSide, ::testing::Values(Backend::kNccl, Backend::kStaged));

TEST_P(DeviceGroupHostSide, ConformsForHostMemory) {
  const int64_t piece = comm::MpiOptions().piece_bytes;
  const int64_t buffer = int64_t{4} * 64 * 1000 * testing::g_session->size();
  testing::CommunicatorConforms(*Make(), buffer / piece + 1);
}

TEST_P(DeviceGroupHostSide, PassesOnWhatIsWrong) {
  if (testing::g_session->size() == 1) return;
  testing::MixUpIsAnError(*Make());
  testing::MissingRankIsNamed(*Make());
}

// The control group may be where it waits.
TEST_P(DeviceGroupHostSide, IsAbandonedWithItsControlGroup) {
  if (testing::g_session->size() == 1) return;
  const auto group = Make();
  if (testing::g_session->rank() == 0) {
    std::thread other([&] { group->Abandon(); });
    EXPECT_THROW(group->Barrier(), core::PeerError);
    other.join();
  }
}
#endif

}  // namespace
}  // namespace moat
