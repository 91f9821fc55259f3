// Errors of CUDA as ours.
#include "tensor/cuda/handle.h"

#include <string>

#include "core/error.h"

namespace moat::tensor::cuda {

void Check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  const std::string text = std::string("CUDA: ") + what + ": " + cudaGetErrorString(error);
  switch (error) {
    case cudaErrorMemoryAllocation:
      cudaGetLastError();  // this one does not stay: the device goes on
      throw core::OutOfMemoryError(text);
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorInsufficientDriver:
      throw core::ConfigError(text + "; moat doctor says what this machine has");
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
      throw core::ConfigError(text + "; build with -DCMAKE_CUDA_ARCHITECTURES=<the device's>");
    case cudaErrorECCUncorrectable:
    case cudaErrorDevicesUnavailable:
    case cudaErrorHardwareStackError:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorSystemNotReady:
    case cudaErrorLaunchTimeout:
      throw core::Error(core::ExitCode::kNode, text);
    default:
      throw core::BugError(text);
  }
}

}  // namespace moat::tensor::cuda
