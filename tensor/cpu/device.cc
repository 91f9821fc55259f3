// The CPU's memory, and its streams and events, which have nothing to wait for.
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>

#include "core/clock.h"
#include "core/error.h"
#include "tensor/device.h"
#include "tensor/kernel_table.h"

namespace moat::tensor {
namespace {

constexpr size_t kAlignment = 64;  // one cache line, and one AVX-512 register

void* Allocate(core::Bytes bytes) {
  const size_t size = (static_cast<size_t>(bytes.value) + kAlignment - 1) / kAlignment * kAlignment;
  void* const memory = std::aligned_alloc(kAlignment, size);
  if (memory == nullptr) {
    throw core::OutOfMemoryError("out of memory: a buffer of " + core::Format(bytes) +
                                 " could not be allocated; lower --micro_batch, --seq_len or the "
                                 "model's size, or use more ranks");
  }
  std::memset(memory, 0, size);
  return memory;
}

void Copy(const void* from, void* to, core::Bytes bytes, const Stream&) {
  std::memcpy(to, from, static_cast<size_t>(bytes.value));
}

void Zero(void* memory, core::Bytes bytes, const Stream&) {
  std::memset(memory, 0, static_cast<size_t>(bytes.value));
}

std::unique_ptr<DeviceStream> MakeStream(int index) {
  MOAT_CHECK(index == 0, "the CPU is one device");
  return nullptr;
}

// Work was done when it was given, so the point is the moment of recording.
class CpuEvent : public DeviceEvent {
 public:
  void Record(Stream&) override { at_ = core::MonotonicSeconds(); }
  void Wait(Stream&) override {}
  bool Done() override { return true; }
  void Synchronize() override {}
  double SecondsSince(const DeviceEvent& earlier) override {
    return at_ - static_cast<const CpuEvent&>(earlier).at_;
  }

 private:
  double at_ = 0;
};

}  // namespace

const DeviceTable& CpuDevice() {
  static const DeviceTable table = {
      .count = [] { return 1; },
      .describe =
          [](int) {
            return DeviceDescription{"CPU", "cpu"};
          },
      .free_memory = [] { return core::Bytes(std::numeric_limits<int64_t>::max()); },
      .allocate = Allocate,
      .free = [](void* memory) { std::free(memory); },
      .allocate_host = Allocate,
      .free_host = [](void* memory) { std::free(memory); },
      .copy = Copy,
      .zero = Zero,
      .make_stream = MakeStream,
      .make_event = []() -> std::unique_ptr<DeviceEvent> { return std::make_unique<CpuEvent>(); },
      .kernels = CpuKernels,
  };
  return table;
}

}  // namespace moat::tensor
