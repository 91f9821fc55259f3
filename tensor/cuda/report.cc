// What there is of CUDA on this machine, for people.
#include <dlfcn.h>

#include "core/error.h"
#include "tensor/cuda/blas_handle.h"
#include "tensor/device.h"

namespace moat::tensor {
namespace cuda {
namespace {

// By name, since nothing is linked with it. From the part that has the
// answer: libcudnn.so.9 itself only passes calls on, and ends the process where it cannot.
int64_t CudnnVersion() {
  void* const library = dlopen("libcudnn_graph.so.9", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return 0;
  auto* const version = reinterpret_cast<size_t (*)()>(dlsym(library, "cudnnGetVersion"));
  return version == nullptr ? 0 : static_cast<int64_t>(version());
}

CudaReport::Device DeviceAt(int index) {
  cudaDeviceProp properties;
  Check(cudaGetDeviceProperties(&properties, index), "looking at a device");
  Check(cudaSetDevice(index), "cudaSetDevice");
  size_t free = 0, total = 0;
  Check(cudaMemGetInfo(&free, &total), "looking at a device's memory");
  return {properties.name, core::Bytes(static_cast<int64_t>(total)),
          core::Bytes(static_cast<int64_t>(free)), properties.major, properties.minor};
}

}  // namespace
}  // namespace cuda

CudaReport LookAtCuda() {
  CudaReport report;
  report.built = true;
  report.cublaslt = static_cast<int64_t>(cublasLtGetVersion());
  report.cudnn = cuda::CudnnVersion();
  cudaRuntimeGetVersion(&report.runtime);
  cudaDriverGetVersion(&report.driver);
  int count = 0;
  try {
    if (report.driver == 0) throw core::ConfigError("there is no CUDA driver on this machine");
    cuda::Check(cudaGetDeviceCount(&count), "looking for devices");
    int before = 0;
    cuda::Check(cudaGetDevice(&before), "cudaGetDevice");
    for (int i = 0; i < count; ++i) report.devices.push_back(cuda::DeviceAt(i));
    cuda::Check(cudaSetDevice(before), "cudaSetDevice");
  } catch (const core::Error& error) {
    report.problem = error.what();
  }
  return report;
}

}  // namespace moat::tensor
