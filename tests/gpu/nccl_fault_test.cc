// What goes wrong inside of NCCL, planted in the emulated one.
#include <nccl.h>

#include <functional>

#include "comm/nccl_link.h"
#include "model/generator.h"
#include "tests/gpu/collectives.h"
#include "tests/model/tiny_model.h"

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

TEST_P(NcclFault, AnAbortThatHangsEndsTheProcessWithTheReasonInItsLog) {
  const auto connect = [] {
    nccl_faults = {.never_connects = true, .abort_hangs = true};
    const comm::NcclLink link(comm::MakeNcclId(), 0, 2, [](const std::function<bool()>& ready) {
      ready();
      throw core::PeerError("the deadline passed");
    });
  };
  EXPECT_EXIT(connect(), ::testing::ExitedWithCode(static_cast<int>(core::ExitCode::kPeer)),
              "the deadline passed; NCCL's abort did not return within 5 s");
}

}  // namespace
}  // namespace moat
