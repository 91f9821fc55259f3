// Every wait of a step with --zero=1 ends at its deadline: over threads.
#include "tests/trainer/stopping_peer.h"

#include "comm/threads.h"

namespace moat::trainer {
namespace {

using configs::OverlapMode;
using testing::StepWait;

TEST(StoppingPeer, IsNamedByTheOthersInEveryWaitOfAShardedStep) {
  for (const StepWait wait : {StepWait::kGradients, StepWait::kNorm, StepWait::kWeights}) {
    for (const OverlapMode overlap : {OverlapMode::kOff, OverlapMode::kOn}) {
      comm::ThreadGroup::Run(3, [&](comm::Communicator& world) {
        const auto data = world.Group("data", {0, 1, 2});
        tensor::Stream stream;
        testing::WhoStopsIsNamed(wait, overlap, world, *data, 1, stream);
      });
    }
  }
}

}  // namespace
}  // namespace moat::trainer
