// What goes wrong inside of NCCL, planted in the emulated one.
#include <nccl.h>

#include <functional>

#include "comm/nccl_link.h"
#include "model/generator.h"
#include "tests/gpu/collectives.h"
#include "tests/model/tiny_model.h"
#include "tests/trainer/stopping_peer.h"

namespace moat {
namespace {

using comm::Order;
using comm::ReduceOp;
using core::DType;
using emulator::nccl_faults;
using testing::Backend;

class NcclFault : public testing::OnBackend {
 protected:
  void TearDown() override { nccl_faults = {}; }
  void Sum() {
    tensor::Tensor buffer(64, DType::kF32, device());
    group_->AllReduce(buffer.view(), ReduceOp::kSum, Order::kAny, *stream_);
    group_->Finish(*stream_);
  }
  template <typename Body>
  std::string ThrowsPeerError(const Body& body) {
    try {
      body();
    } catch (const core::PeerError& error) {
      return error.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return "";
  }
};
MOAT_ON_DEVICE_BACKENDS(NcclFault, ::testing::Values(Backend::kNccl));

TEST_P(NcclFault, ConnectingThatNeverEndsEndsAtTheDeadline) {
  nccl_faults.never_connects = true;
  group_->SetDeadline(0.5);
  const std::string what = ThrowsPeerError([&] { Sum(); });
  EXPECT_NE(what.find("all_reduce(sum, 64 f32"), std::string::npos) << what;
  EXPECT_NE(what.find("did not end within"), std::string::npos) << what;
}

TEST_P(NcclFault, AnErrorUnderWayIsThrownByFinishAndTheGroupIsOfNoMoreUse) {
  Sum();
  nccl_faults.asynchronous = ncclRemoteError;
  std::string what = ThrowsPeerError([&] { group_->Finish(*stream_); });
  EXPECT_NE(what.find("remote process exited"), std::string::npos) << what;
  what = ThrowsPeerError([&] { Sum(); });
  EXPECT_NE(what.find("cannot be used any more"), std::string::npos) << what;
  what = ThrowsPeerError([&] { group_->Finish(*stream_); });
  EXPECT_NE(what.find("cannot be used any more"), std::string::npos) << what;
}

TEST_P(NcclFault, APeerThatDiesWithinAPassEndsTheWaitForItsResults) {
  if (4 % size() != 0) return;  // heads
  configs::ModelConfig config = testing::TinyConfig();
  config.ffn = 28;
  const auto batch = testing::TinyBatch(config, 1);
  const std::vector<uint64_t> samples = {10};
  const auto view = testing::View(batch, samples);
  using Pass = std::function<void(model::Transformer&)>;
  const std::vector<Pass> passes = {
      [&](model::Transformer& model) { model.ForwardBackward(view, 1, 1, false); },
      [&](model::Transformer& model) { model.Evaluate(view); },
      [&](model::Transformer& model) {
        model::Generator(model, *stream_).Feed({1, 2});
      },
  };
  for (const Pass& pass : passes) {
    nccl_faults = {};
    const auto group = Make();
    model::Transformer model(config, {.tensor = group.get()}, *stream_);
    pass(model);  // connects
    nccl_faults.asynchronous = ncclRemoteError;
    const std::string what = ThrowsPeerError([&] { pass(model); });
    EXPECT_NE(what.find("remote process exited"), std::string::npos) << what;
  }
}

// A rank's copies of kv heads are summed over a group of their own, of which the tensor group's
// wait has to know.
TEST_P(NcclFault, SumsOfCopiedHeadsThatNeverEndLeaveTheDeviceAtTheDeadline) {
  if (size() % 2 != 0) return;
  configs::ModelConfig config = testing::TinyConfig();
  config.kv_heads = size() / 2;
  config.ffn = 28;
  const auto batch = testing::TinyBatch(config, 1);
  const std::vector<uint64_t> samples = {10};
  nccl_faults.sticks = 2;  // connected after the tensor group
  const auto group = Make();
  group->SetDeadline(1);
  model::Transformer model(config, {.tensor = group.get()}, *stream_);
  const std::string what =
      ThrowsPeerError([&] { model.ForwardBackward(testing::View(batch, samples), 1, 1, false); });
  EXPECT_NE(what.find("did not end within 1"), std::string::npos) << what;
  EXPECT_NE(what.find("on the host all ranks answer"), std::string::npos) << what;
  EXPECT_TRUE(stream_->Done());  // nothing of the model is used any more
}

TEST_P(NcclFault, AnErrorInSumsOfCopiedHeadsEndsTheTensorGroupsWait) {
  nccl_faults.sticks = 1;
  const auto group = Make();
  std::vector<int> all;
  for (int r = 0; r < size(); ++r) all.push_back(r);
  const auto copies = group->Group("kv heads", all);
  tensor::Tensor buffer(64, DType::kF32, device());
  copies->AllReduce(buffer.view(), ReduceOp::kSum, Order::kAny, *stream_);
  nccl_faults.asynchronous = ncclRemoteError;
  const std::string what = ThrowsPeerError([&] { group->Finish(*stream_); });
  EXPECT_NE(what.find("work of group 'kv heads'"), std::string::npos) << what;
  EXPECT_TRUE(stream_->Done());
}

TEST_P(NcclFault, WhoStopsWhileWorkIsOnTheDevicesIsNamed) {
  nccl_faults.sticks = 1;
  tensor::Tensor buffer(64, DType::kF32, device());
  const auto group = Make();
  group->SetDeadline(1);
  group->AllReduce(buffer.view(), ReduceOp::kSum, Order::kAny, *stream_);
  const int missing = size() - 1;
  if (rank() != missing) {
    const std::string what = ThrowsPeerError([&] { group->Finish(*stream_); });
    EXPECT_NE(what.find("missing: rank " + std::to_string(missing)), std::string::npos) << what;
    EXPECT_NE(what.find("all_reduce(sum, 64 f32"), std::string::npos) << what;
  }
  testing::g_session->World();  // the last one stays until the others have named it
}

TEST_P(NcclFault, WhoStopsWhileAShardedStepIsOnTheDevicesIsNamed) {
  using configs::OverlapMode;
  if (size() != 2) return;  // each takes its deadline
  for (const auto wait : {testing::StepWait::kGradients, testing::StepWait::kWeights}) {
    for (const OverlapMode overlap : {OverlapMode::kOff, OverlapMode::kOn}) {
      nccl_faults = {};
      const auto world = testing::g_session->World();
      testing::WhoStopsIsNamed(wait, overlap, *world, *Make(), 3, *stream_,
                               [] { nccl_faults.sticks = 1; });
      EXPECT_TRUE(rank() == size() - 1 || stream_->Done());
    }
  }
}

// Others may be elsewhere when some have waited in vain: in a collective on the host.
TEST_P(NcclFault, ARankInAnotherCollectiveIsToldThatTheGroupWasGivenUp) {
  nccl_faults.sticks = 1;
  const auto group = Make();
  tensor::Tensor buffer(64, DType::kF32, device());
  group->AllReduce(buffer.view(), ReduceOp::kSum, Order::kAny, *stream_);
  group->SetDeadline(rank() == 0 ? 1 : 60);
  const std::string what = ThrowsPeerError([&] {
    if (rank() == 0) group->Finish(*stream_);
    std::vector<double> values(3);
    tensor::Stream host;
    group->AllReduce(testing::HostView(values.data(), 3), ReduceOp::kSum, Order::kTree, host);
  });
  EXPECT_NE(what.find("was given up in its operation"), std::string::npos) << what;
  EXPECT_NE(what.find("by rank 0"), std::string::npos) << what;
}

TEST_P(NcclFault, AnAbandonedGroupLeavesTheDevice) {
  nccl_faults.sticks = 1;
  const auto group = Make();
  tensor::Tensor buffer(64, DType::kF32, device());
  group->AllReduce(buffer.view(), ReduceOp::kSum, Order::kAny, *stream_);
  group->Abandon();
  stream_->Synchronize();
}

TEST_P(NcclFault, AnAbortThatHangsEndsTheProcessWithTheReasonInItsLog) {
  const auto connect = [] {
    nccl_faults = {.never_connects = true, .abort_hangs = true};
    const comm::NcclLink link("planted", comm::MakeNcclId(), 0, 2,
                              [](const std::function<bool()>& ready) {
                                ready();
                                throw core::PeerError("the deadline passed");
                              });
  };
  EXPECT_EXIT(connect(), ::testing::ExitedWithCode(static_cast<int>(core::ExitCode::kPeer)),
              "the deadline passed; NCCL's abort did not return within 5 s");
}

}  // namespace
}  // namespace moat
