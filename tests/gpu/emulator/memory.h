// The emulated device's memory: apart from the host's, and guarded.
//
// The host cannot touch it (a fault ends the program) except while the device works. Each buffer
// ends at a page that nobody can touch, give or take 63 bytes, which hold NaN and are checked when
// the buffer is freed; freed memory stays out of reach.
#pragma once

#include <cstddef>
#include <cstdint>

namespace moat::emulator {

constexpr size_t kDeviceBytes = size_t{1} << 30;

// Null when there is not enough. Filled with NaN, large ones at both ends.
void* Allocate(size_t bytes);
void Free(void* memory);
size_t FreeBytes();
bool IsDeviceMemory(const void* memory);

// Copies so far between the device and memory of the host that is not pinned: on a device such a
// copy may hold the host up until it is done.
uint64_t PageableCopies();

// While one of these lives, the device works and its memory may be touched.
class DeviceWorks {
 public:
  DeviceWorks();
  ~DeviceWorks();
  DeviceWorks(const DeviceWorks&) = delete;
  DeviceWorks& operator=(const DeviceWorks&) = delete;
};

}  // namespace moat::emulator
