// NCCL in a build without it: a clear word to who asks for it.
#include "comm/nccl.h"
#include "core/error.h"

namespace moat::comm {
namespace {

[[noreturn]] void Refuse() {
  throw core::ConfigError(
      "this build of moat has no NCCL, so ranks cannot exchange device memory; use --device=cpu, "
      "or "
      "build where NCCL is installed: cmake --preset release -DMOAT_CUDA=ON");
}

}  // namespace

std::unique_ptr<Communicator> MakeNccl(std::unique_ptr<Communicator>, const Communicator*) {
  Refuse();
}
int NcclVersion() { return 0; }
void CheckNccl(tensor::Stream&) { Refuse(); }

}  // namespace moat::comm
