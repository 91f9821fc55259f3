// The emulator's <cuda_runtime.h>: as much of CUDA as tensor/cuda/ uses, on a CPU.
//
// It lies before the real one on the include path of the emulated tests only. What runs where: the
// runtime's functions are in ../runtime.cc, the threads of a block in ../block.cc.
#pragma once

#include <math.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <tuple>
#include <type_traits>
#include <vector>

#include "tests/gpu/emulator/block.h"

// NOLINTBEGIN(bugprone-reserved-identifier): the names are CUDA's

#define __global__
#define __device__
#define __host__
#define __shared__ thread_local  // static storage, with `extern` and without
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) int4 {
  int x, y, z, w;
};

// Of the thread that runs now.
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline int __popc(unsigned bits) { return std::popcount(bits); }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(uint64_t{a} * b >> 32);
}
inline void sincospif(float x, float* sine, float* cosine) {
  *sine = static_cast<float>(sin(M_PI * static_cast<double>(x)));
  *cosine = static_cast<float>(cos(M_PI * static_cast<double>(x)));
}
template <typename T>
T min(T a, std::type_identity_t<T> b) {
  return b < a ? b : a;
}
template <typename T>
T max(T a, std::type_identity_t<T> b) {
  return a < b ? b : a;
}

inline void __syncthreads(int line = __builtin_LINE()) { moat::emulator::SyncBlock(line); }
inline void __syncwarp(unsigned mask = 0xffffffffu, int line = __builtin_LINE()) {
  moat::emulator::SyncWarp(mask, line);
}
// The value of lane `source(own lane)`.
template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int = 32, int line = __builtin_LINE()) {
  return moat::emulator::OfAllLanes<T>(mask, value, line)[source];
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int step, int = 32, int line = __builtin_LINE()) {
  return moat::emulator::OfAllLanes<T>(mask, value, line)[moat::emulator::Lane() ^ step];
}
inline unsigned __ballot_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
  const moat::emulator::OfAllLanes<int> all(mask, predicate, line);
  unsigned bits = 0;
  for (int lane = 0; lane < 32; ++lane) bits |= (all[lane] != 0 ? 1u : 0u) << lane;
  return bits;
}

enum cudaError_t {
  cudaSuccess,
  cudaErrorInvalidValue,
  cudaErrorMemoryAllocation,
  cudaErrorNoDevice,
  cudaErrorInvalidDevice,
  cudaErrorInsufficientDriver,
  cudaErrorNoKernelImageForDevice,
  cudaErrorUnsupportedPtxVersion,
  cudaErrorECCUncorrectable,
  cudaErrorDevicesUnavailable,
  cudaErrorHardwareStackError,
  cudaErrorNvlinkUncorrectable,
  cudaErrorSystemNotReady,
  cudaErrorLaunchTimeout,
  cudaErrorLaunchFailure,
  cudaErrorNotReady,
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDefault };
enum cudaDeviceAttr { cudaDevAttrMaxSharedMemoryPerBlockOptin };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
constexpr unsigned cudaStreamNonBlocking = 1;
using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;

struct cudaDeviceProp {
  char name[256];
  struct {
    char bytes[16];
  } uuid;
  int major, minor;
};

const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaMalloc(void** memory, size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaMallocHost(void** memory, size_t bytes);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMemset(void* memory, int value, size_t bytes);
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end);
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value);

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

namespace moat::emulator {
// Enqueues a grid, every thread of which calls `body`. `kernel` tells kernels apart.
cudaError_t Enqueue(const cudaLaunchConfig_t& config, const void* kernel,
                    std::function<void()> body);
// Nothing behind it on the stream begins before `released` is true. A host that waits for it
// without a deadline ends the program.
void Hold(cudaStream_t stream, std::function<bool()> released);
// Does what the stream has been given; false where some of it is held.
bool WorkOff(cudaStream_t stream);

// Copies to shared memory that a thread has begun (instruction.cuh, CopyLater). They are as late as
// they may be, and as early: what they go to is garbage at once, and right when the thread has
// waited.
struct Copy {
  void* to;
  const void* from;
  size_t bytes;
  bool there;
};
constexpr size_t kMostThreads = 1024;
inline std::vector<Copy>& CopiesOfThread() {
  static std::vector<Copy> copies[kMostThreads];
  return copies[threadIdx.x];
}
}  // namespace moat::emulator

// Arguments are copied now, as CUDA does it.
template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  std::tuple<Parameters...> values(std::forward<Arguments>(arguments)...);
  return moat::emulator::Enqueue(*config, reinterpret_cast<const void*>(kernel), [kernel, values] {
    moat::emulator::CopiesOfThread().clear();
    std::apply(kernel, values);
  });
}

// NOLINTEND(bugprone-reserved-identifier)
