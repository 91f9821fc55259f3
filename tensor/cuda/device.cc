// CUDA's memory and copies, and the table of the device.
#include "tensor/device.h"

#include <string>

#include "core/error.h"
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/stream.h"

namespace moat::tensor {
namespace cuda {
namespace {

int Count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

DeviceDescription Describe(int index) {
  cudaDeviceProp properties;
  Check(cudaGetDeviceProperties(&properties, index), "looking at a device");
  std::string id;  // in hex
  for (const char byte : properties.uuid.bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    const auto value = static_cast<unsigned char>(byte);
    id += {kDigits[value / 16], kDigits[value % 16]};
  }
  return {properties.name, id, properties.major, properties.minor};
}

core::Bytes FreeMemory() {
  size_t free = 0, total = 0;
  Check(cudaMemGetInfo(&free, &total), "looking at a device's memory");
  return core::Bytes(static_cast<int64_t>(free));
}

void* Allocate(core::Bytes bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, static_cast<size_t>(bytes.value));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    throw core::OutOfMemoryError(
        "out of memory on the CUDA device: a buffer of " + core::Format(bytes) +
        " could not be allocated, " + core::Format(core::Bytes(static_cast<int64_t>(free))) +
        " of " + core::Format(core::Bytes(static_cast<int64_t>(total))) +
        " are free; lower --micro_batch, --seq_len or the model's size, or use more ranks");
  }
  Check(error, "cudaMalloc");
  MemoryHandle owner(memory);
  Check(cudaMemset(memory, 0, static_cast<size_t>(bytes.value)), "cudaMemset");
  // The default stream's memset and a stream that does not wait for it meet here.
  Check(cudaStreamSynchronize(nullptr), "cudaMemset");
  return owner.Release();
}

void* AllocateHost(core::Bytes bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMallocHost(&memory, static_cast<size_t>(bytes.value));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw core::OutOfMemoryError("out of memory: " + core::Format(bytes) +
                                 " of host memory could not be pinned for copies to the CUDA "
                                 "device; start fewer ranks per node");
  }
  Check(error, "cudaMallocHost");
  return memory;
}

void Copy(const void* from, void* to, core::Bytes bytes, const Stream& stream) {
  Check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes.value), cudaMemcpyDefault,
                        Of(stream).get()),
        "cudaMemcpyAsync");
}

void Zero(void* memory, core::Bytes bytes, const Stream& stream) {
  Check(cudaMemsetAsync(memory, 0, static_cast<size_t>(bytes.value), Of(stream).get()),
        "cudaMemsetAsync");
}

}  // namespace
}  // namespace cuda

const DeviceTable& CudaDevice() {
  static const DeviceTable table = {
      .count = cuda::Count,
      .describe = cuda::Describe,
      .free_memory = cuda::FreeMemory,
      .allocate = cuda::Allocate,
      .free = [](void* memory) { cudaFree(memory); },
      .allocate_host = cuda::AllocateHost,
      .free_host = [](void* memory) { cudaFreeHost(memory); },
      .copy = cuda::Copy,
      .zero = cuda::Zero,
      .make_stream = cuda::MakeStream,
      .make_event = cuda::MakeEvent,
      .kernels = cuda::Kernels,
  };
  return table;
}

}  // namespace moat::tensor
