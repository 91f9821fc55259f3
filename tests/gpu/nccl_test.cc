// What only NCCL's communicator does.
#include "tests/gpu/collectives.h"

namespace moat {
namespace {

using comm::Order;
using comm::ReduceOp;
using core::DType;
using tensor::HostView;
using tensor::Tensor;
using testing::Backend;

class NcclTest : public testing::OnBackend {};
MOAT_ON_DEVICE_BACKENDS(NcclTest, ::testing::Values(Backend::kNccl));

TEST_P(NcclTest, ChecksItself) { comm::CheckNccl(*stream_); }

// Rank 1 agrees to the call and takes the id, then goes no further: rank 0 waits inside NCCL, and
// is released by the deadline.
TEST_P(NcclTest, APeerThatStopsInsideNcclEndsAtTheDeadline) {
  if (size() != 2) return;
  std::unique_ptr<comm::Communicator> control = testing::g_session->World();
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

// Their kernels wait on the device for their peers', who may have begun with the other one.
TEST_P(NcclTest, TwoGroupsAtWorkOnTwoStreamsAreRefused) {
  if (size() == 1) return;
  std::vector<int> all;
  for (int r = 0; r < size(); ++r) all.push_back(r);
  const auto second = group_->Group("second", all);
  tensor::Stream other(device(), DeviceIndex());
  Tensor buffer(64, DType::kF32, device());
  const auto sum = [&](comm::Communicator& group, tensor::Stream& stream) {
    group.AllReduce(buffer.view(), ReduceOp::kSum, Order::kAny, stream);
  };
  sum(*group_, *stream_);
  sum(*second, *stream_);
  group_->Finish(*stream_);
  sum(*second, other);
  EXPECT_THROW(sum(*group_, *stream_), core::BugError);
  second->Finish(other);
}

TEST_P(NcclTest, SumsOfF64InTreeOrderAreRefusedWhereThereIsMoreThanOneOrder) {
  Tensor buffer(64, DType::kF64, device());
  const auto sum = [&] {
    group_->AllReduce(buffer.view(), ReduceOp::kSum, Order::kTree, *stream_);
  };
  if (size() > 2) {
    EXPECT_THROW(sum(), core::ConfigError);
  } else {
    EXPECT_NO_THROW(sum());
  }
}

}  // namespace
}  // namespace moat
