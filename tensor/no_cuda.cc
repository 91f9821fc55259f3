// CUDA in a build without it: no devices, and a clear word to who asks for one.
#include "core/error.h"
#include "tensor/device.h"

namespace moat::tensor {
namespace {

[[noreturn]] void Refuse() {
  throw core::ConfigError(
      "this build of moat has no CUDA backend; use --device=cpu, or build where nvcc and cuBLASLt "
      "are installed: cmake --preset release -DMOAT_CUDA=ON");
}

}  // namespace

const DeviceTable& CudaDevice() {
  static const DeviceTable table = {
      .count = [] { return 0; },
      .describe = [](int) -> DeviceDescription { Refuse(); },
      .free_memory = []() -> core::Bytes { Refuse(); },
      .allocate = [](core::Bytes) -> void* { Refuse(); },
      .free = [](void*) {},
      .allocate_host = [](core::Bytes) -> void* { Refuse(); },
      .free_host = [](void*) {},
      .copy = [](const void*, void*, core::Bytes, const Stream&) { Refuse(); },
      .zero = [](void*, core::Bytes, const Stream&) { Refuse(); },
      .make_stream = [](int) -> std::unique_ptr<DeviceStream> { Refuse(); },
      .make_event = []() -> std::unique_ptr<DeviceEvent> { Refuse(); },
      .kernels = [](core::DType) -> const KernelTable& { Refuse(); },
  };
  return table;
}

CudaReport LookAtCuda() {
  CudaReport report;
  report.problem = "this build of moat has no CUDA backend";
  return report;
}

}  // namespace moat::tensor
