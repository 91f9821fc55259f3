// Every wait of a step with --zero=1 ends at its deadline: over MPI, and between devices.
#include "tests/trainer/stopping_peer.h"
#include "tests/gpu/collectives.h"

namespace moat {
namespace {

using configs::OverlapMode;
using testing::Backend;
using testing::StepWait;

class StoppingPeer : public testing::OnBackend {};
#ifndef MOAT_CUDA_IS
MOAT_ON_BACKENDS(cpu, StoppingPeer, ::testing::Values(Backend::kMpi));
#endif
MOAT_ON_DEVICE_BACKENDS(StoppingPeer, ::testing::Values(Backend::kNccl, Backend::kStaged));

TEST_P(StoppingPeer, IsNamedByTheOthersInEveryWaitOfAShardedStep) {
  if (size() != 2) return;  // each takes its deadline
  for (const StepWait wait : {StepWait::kGradients, StepWait::kNorm, StepWait::kWeights}) {
    for (const OverlapMode overlap : {OverlapMode::kOff, OverlapMode::kOn}) {
      const auto world = testing::g_session->World();  // here they meet again
      testing::WhoStopsIsNamed(wait, overlap, *world, *Make(), testing::kEmulated ? 3 : 1,
                               *stream_);
    }
  }
}

}  // namespace
}  // namespace moat
