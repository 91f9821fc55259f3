// The emulated CUDA runtime: streams are queues whose work is done as late as it may be.
//
// Nothing runs before somebody waits for it, so that host memory that is freed or changed too early
// shows. An error stays, as on a device. Host threads take turns: the device does one thing at a
// time.
#include "tests/gpu/emulator/include/cuda_runtime.h"

#include <sys/mman.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/gpu/emulator/memory.h"

struct CUstream_st {
  std::deque<std::function<bool()>> work;  // is it done?
  uint64_t given = 0, done = 0;
};

struct CUevent_st {
  cudaStream_t stream = nullptr;  // null: never recorded, or of a stream that is gone
  uint64_t point = 0;             // of the stream's work
  std::chrono::steady_clock::time_point time;
};

namespace moat::emulator {
namespace {

struct Runtime {
  CUstream_st default_stream;
  std::set<cudaStream_t> streams = {&default_stream};
  std::set<cudaEvent_t> events;
  std::vector<std::unique_ptr<CUevent_st>> destroyed;  // queued work may still record them
  std::map<void*, size_t> host_memory;
  uint64_t pageable_copies = 0;
  std::map<const void*, size_t> shared_bytes;  // kernels that asked for more than 48 KiB
  cudaError_t last = cudaSuccess;              // of a call: asked for once
  std::string failure;                         // of a kernel: for ever
};

Runtime& The() {
  static Runtime runtime;
  return runtime;
}

// Held by whoever calls the runtime, which calls itself when work waits for other work.
using Turn = std::lock_guard<std::recursive_mutex>;
std::recursive_mutex turns;

cudaError_t Failed(cudaError_t error) { return The().last = error; }

cudaError_t State() { return The().failure.empty() ? cudaSuccess : cudaErrorLaunchFailure; }

cudaStream_t Of(cudaStream_t stream) { return stream ? stream : &The().default_stream; }

void GiveHeld(cudaStream_t stream, std::function<bool()> work) {
  Of(stream)->work.push_back(std::move(work));
  ++Of(stream)->given;
}

void Give(cudaStream_t stream, std::function<void()> work) {
  GiveHeld(stream, [work = std::move(work)] {
    work();
    return true;
  });
}

// Works until `point` is done; false where something before it is held.
bool Work(cudaStream_t stream, uint64_t point) {
  const DeviceWorks works;
  while (stream->done < point) {
    std::function<bool()> next = std::move(stream->work.front());
    stream->work.pop_front();
    if (!next()) {
      stream->work.push_front(std::move(next));
      return false;
    }
    ++stream->done;
  }
  return true;
}

// On a device it would be for ever.
void Wait(cudaStream_t stream, uint64_t point) {
  if (Work(stream, point)) return;
  std::fprintf(stderr, "emulator: the host waits, without a deadline, for work that is held\n");
  std::abort();
}

void WaitForAll() {
  for (const cudaStream_t stream : The().streams) Wait(stream, stream->given);
}

bool IsPinned(const void* memory) {
  const auto after = The().host_memory.upper_bound(const_cast<void*>(memory));
  if (after == The().host_memory.begin()) return false;
  const auto& [begin, bytes] = *std::prev(after);
  return memory < static_cast<const char*>(begin) + bytes;
}

void RunGrid(const dim3& grid, const dim3& block, size_t shared,
             const std::function<void()>& body) {
  std::vector<uint64_t> order(uint64_t{grid.x} * grid.y * grid.z);
  std::iota(order.begin(), order.end(), uint64_t{0});
  for (size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[Random(static_cast<unsigned>(i))]);
  }
  gridDim = grid;
  blockDim = block;
  for (const uint64_t i : order) {
    if (State() != cudaSuccess) return;
    blockIdx = dim3(static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                    static_cast<unsigned>(i / grid.x / grid.y));
    The().failure = RunBlock(block.x, block.y, shared, body);
  }
}

}  // namespace

void Hold(cudaStream_t stream, std::function<bool()> released) {
  const Turn turn(turns);
  GiveHeld(stream, std::move(released));
}

bool WorkOff(cudaStream_t stream) {
  const Turn turn(turns);
  return Work(Of(stream), Of(stream)->given);
}

uint64_t PageableCopies() {
  const Turn turn(turns);
  return The().pageable_copies;
}

cudaError_t Enqueue(const cudaLaunchConfig_t& config, const void* kernel,
                    std::function<void()> body) {
  const Turn turn(turns);
  const dim3 grid = config.gridDim, block = config.blockDim;
  const size_t shared = config.dynamicSmemBytes;
  const auto asked = The().shared_bytes.find(kernel);
  const size_t may = asked == The().shared_bytes.end() ? size_t{48} << 10 : asked->second;
  const bool fits = grid.x >= 1 && grid.x <= 0x7fffffffu && grid.y >= 1 && grid.y <= 65535 &&
                    grid.z >= 1 && grid.z <= 65535 && block.x * block.y >= 1 && block.z == 1 &&
                    block.x * block.y <= 1024 && shared <= may;
  if (!fits) return Failed(cudaErrorInvalidValue);
  Give(config.stream,
       [grid, block, shared, body = std::move(body)] { RunGrid(grid, block, shared, body); });
  return State();
}

}  // namespace moat::emulator

using moat::emulator::Failed;
using moat::emulator::Give;
using moat::emulator::Of;
using moat::emulator::State;
using moat::emulator::The;
using moat::emulator::Turn;
using moat::emulator::turns;
using moat::emulator::Wait;
using moat::emulator::Work;

const char* cudaGetErrorString(cudaError_t error) {
  const Turn turn(turns);
  switch (error) {
    case cudaErrorLaunchFailure:
      return The().failure.c_str();
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    default:
      return "an error of the emulator";
  }
}

cudaError_t cudaGetLastError() {
  const Turn turn(turns);
  return std::exchange(The().last, cudaSuccess);
}

// One device, or none where MOAT_EMULATED_DEVICES is 0.
cudaError_t cudaGetDeviceCount(int* count) {
  const Turn turn(turns);
  const char* const devices = std::getenv("MOAT_EMULATED_DEVICES");
  *count = devices == nullptr || std::strcmp(devices, "0") != 0 ? 1 : 0;
  return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {"emulated",
                 {"emulated"},
                 moat::emulator::capability_offered / 10,
                 moat::emulator::capability_offered % 10};
  return device == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaSetDevice(int device) {
  const Turn turn(turns);
  return device == 0 ? State() : cudaErrorInvalidDevice;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = static_cast<int>(moat::emulator::shared_bytes_offered);
  return State();
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  const Turn turn(turns);
  *memory = moat::emulator::Allocate(bytes);
  return *memory ? State() : Failed(cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void* memory) {
  const Turn turn(turns);
  if (memory == nullptr) return cudaSuccess;
  moat::emulator::WaitForAll();
  moat::emulator::Free(memory);
  return State();
}

// Pages of their own: a copy that comes after they were freed is a fault.
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  const Turn turn(turns);
  *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (*memory == MAP_FAILED) return Failed(cudaErrorMemoryAllocation);
  The().host_memory[*memory] = bytes;
  return State();
}

cudaError_t cudaFreeHost(void* memory) {
  const Turn turn(turns);
  const auto found = The().host_memory.find(memory);
  if (found == The().host_memory.end()) return Failed(cudaErrorInvalidValue);
  munmap(memory, found->second);
  The().host_memory.erase(found);
  return State();
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const Turn turn(turns);
  *free = moat::emulator::FreeBytes();
  *total = moat::emulator::kDeviceBytes;
  return cudaSuccess;
}

cudaError_t cudaMemset(void* memory, int value, size_t bytes) {
  const Turn turn(turns);
  return cudaMemsetAsync(memory, value, bytes, nullptr);
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  const Turn turn(turns);
  Give(stream, [=] { std::memset(memory, value, bytes); });
  return State();
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  const Turn turn(turns);
  const auto pageable = [](const void* at) {
    return !moat::emulator::IsDeviceMemory(at) && !moat::emulator::IsPinned(at);
  };
  if (pageable(to) || pageable(from)) ++The().pageable_copies;
  Give(stream, [=] { std::memmove(to, from, bytes); });
  return State();
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const Turn turn(turns);
  if (flags != cudaStreamNonBlocking) return Failed(cudaErrorInvalidValue);
  *stream = new CUstream_st;
  The().streams.insert(*stream);
  return State();
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Turn turn(turns);
  Wait(stream, stream->given);
  The().streams.erase(stream);
  for (const cudaEvent_t event : The().events) {
    if (event->stream == stream) event->stream = nullptr;  // what it waited for is done
  }
  delete stream;
  return State();
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Turn turn(turns);
  Wait(Of(stream), Of(stream)->given);
  return State();
}

// Not done at first; then it is.
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  const Turn turn(turns);
  if (stream->done == stream->given) return State();
  Work(stream, stream->given);
  return cudaErrorNotReady;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const Turn turn(turns);
  if (event->stream == nullptr) return State();
  moat::emulator::GiveHeld(
      stream, [other = event->stream, point = event->point] { return Work(other, point); });
  return State();
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  const Turn turn(turns);
  *event = new CUevent_st;
  The().events.insert(*event);
  return State();
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const Turn turn(turns);
  The().events.erase(event);
  The().destroyed.emplace_back(event);
  return State();
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const Turn turn(turns);
  Give(stream, [event] { event->time = std::chrono::steady_clock::now(); });
  event->stream = Of(stream);
  event->point = Of(stream)->given;
  return State();
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const Turn turn(turns);
  if (event->stream == nullptr || event->stream->done >= event->point) return State();
  Work(event->stream, event->point);
  return cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Turn turn(turns);
  if (event->stream != nullptr) Wait(event->stream, event->point);
  return State();
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  const Turn turn(turns);
  cudaEventSynchronize(begin);
  cudaEventSynchronize(end);
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
  return State();
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value) {
  const Turn turn(turns);
  if (value < 0 || static_cast<size_t>(value) > moat::emulator::shared_bytes_offered) {
    return Failed(cudaErrorInvalidValue);
  }
  The().shared_bytes[kernel] = static_cast<size_t>(value);
  return State();
}
