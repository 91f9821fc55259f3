// Pages of the emulated device.
#include "tests/gpu/emulator/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

namespace moat::emulator {
namespace {

constexpr size_t kPage = 4096, kAlignment = 64;
constexpr size_t kAddresses = size_t{64} << 30;  // never given out twice
constexpr size_t kFilled = 256 << 10;
constexpr char kUntouched = '\xff';

struct Buffer {
  char* pages;
  size_t size;  // of the pages, without the guard
  size_t bytes;
};

struct Memory {
  char* next = nullptr;
  char* end = nullptr;
  size_t used = 0;
  std::map<void*, Buffer> buffers;
  int working = 0;
  std::mutex mutex;  // of the last two: communication works beside kernels
};

Memory& The() {
  static Memory memory;
  return memory;
}

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "emulator: %s\n", what);
  std::abort();
}

size_t RoundUp(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

void Protect(const Buffer& buffer, int access) {
  Require(mprotect(buffer.pages, buffer.size, access) == 0, "mprotect failed");
}

}  // namespace

bool IsDeviceMemory(const void* memory) {
  const char* const end = The().end;
  return end != nullptr && memory >= end - kAddresses && memory < end;
}

void* Allocate(size_t bytes) {
  Memory& m = The();
  const std::lock_guard lock(m.mutex);
  if (bytes > kDeviceBytes - m.used) return nullptr;
  const size_t size = RoundUp(RoundUp(bytes, kAlignment), kPage);
  if (m.next == nullptr) {
    void* const all =
        mmap(nullptr, kAddresses, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    Require(all != MAP_FAILED, "mmap failed");
    m.next = static_cast<char*>(all);
    m.end = m.next + kAddresses;
  }
  Require(size + kPage <= static_cast<size_t>(m.end - m.next), "no addresses left");
  const Buffer buffer{m.next, size, bytes};
  m.next += size + kPage;
  m.used += bytes;
  void* const memory = buffer.pages + (size - RoundUp(bytes, kAlignment));
  m.buffers[memory] = buffer;
  Protect(buffer, PROT_READ | PROT_WRITE);
  const size_t ends = std::min(size, kFilled);  // of the large ones only the ends, for speed
  std::memset(buffer.pages, kUntouched, ends);
  std::memset(buffer.pages + size - ends, kUntouched, ends);
  if (m.working == 0) Protect(buffer, PROT_NONE);
  return memory;
}

void Free(void* memory) {
  Memory& m = The();
  const std::lock_guard lock(m.mutex);
  const auto found = m.buffers.find(memory);
  Require(found != m.buffers.end(), "freeing what was not allocated");
  const Buffer buffer = found->second;
  Protect(buffer, PROT_READ | PROT_WRITE);
  const char* const end = static_cast<char*>(memory) + buffer.bytes;
  Require(std::count(end, static_cast<const char*>(buffer.pages + buffer.size), kUntouched) ==
              buffer.pages + buffer.size - end,
          "a kernel wrote behind a buffer");
  Require(mmap(buffer.pages, buffer.size, PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED,
          "mmap failed");
  m.used -= buffer.bytes;
  m.buffers.erase(found);
}

size_t FreeBytes() { return kDeviceBytes - The().used; }

DeviceWorks::DeviceWorks() {
  Memory& m = The();
  const std::lock_guard lock(m.mutex);
  if (m.working++ > 0) return;
  for (const auto& [memory, buffer] : m.buffers) Protect(buffer, PROT_READ | PROT_WRITE);
}

DeviceWorks::~DeviceWorks() {
  Memory& m = The();
  const std::lock_guard lock(m.mutex);
  if (--m.working > 0) return;
  for (const auto& [memory, buffer] : m.buffers) Protect(buffer, PROT_NONE);
}

}  // namespace moat::emulator
