// The threads of a CUDA block as fibers of a host thread, in an order that nobody should rely on.
//
// A warp runs as far as it can get before the next one starts, lanes between two meetings of the
// warp and warps between two barriers in random order, so that a missing barrier shows as a wrong
// value. Shared memory keeps what the block before left in it; dynamic shared memory is NaN. What
// is undefined in CUDA is an error: threads of a warp or a block that wait at different places, or
// for threads that have ended.
//
// Not shown: a missing __syncwarp() beside a shuffle, since a shuffle is a meeting here but no
// barrier for memory there; how memory is ordered between blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

namespace moat::emulator {

constexpr unsigned kAll = 0xffffffffu;
constexpr size_t kMostSharedBytes = 227 << 10;  // of a block on Hopper
// What the device has, for tests that pose as a smaller one.
inline size_t shared_bytes_offered = kMostSharedBytes;
// Compute capability of the emulated device, in tenths.
inline int capability_offered = 90;

// What the running thread calls. `line` tells meeting places apart.
int Lane();
void SyncBlock(int line);
void SyncWarp(unsigned mask, int line);
void* DynamicShared();
// Ends the kernel with an error unless it holds.
void Expect(bool holds, const char* what);

// What each lane of the warp gave. To be read before the next but one is made.
constexpr size_t kSlotBytes = 32;
char* NextSlot();  // the lane's; those of lanes before and behind it stand beside it

template <typename T>
class OfAllLanes {
 public:
  OfAllLanes(unsigned mask, const T& value, int line) {
    static_assert(sizeof(T) <= kSlotBytes);
    char* const own = NextSlot();
    std::memcpy(own, &value, sizeof(T));
    slots_ = own - static_cast<size_t>(Lane()) * kSlotBytes;
    SyncWarp(mask, line);
  }
  T operator[](int lane) const {
    T value;
    std::memcpy(static_cast<void*>(&value), slots_ + static_cast<size_t>(lane) * kSlotBytes,
                sizeof(T));
    return value;
  }

 private:
  const char* slots_;
};

// A random number below `limit`; the same ones in every run of the program.
unsigned Random(unsigned limit);

// Runs body() on every thread of a block with `threads_x` x `threads_y` of them; the caller has set
// blockIdx, blockDim and gridDim. Returns "" or what went wrong.
const char* RunBlock(unsigned threads_x, unsigned threads_y, size_t shared_bytes,
                     const std::function<void()>& body);

}  // namespace moat::emulator
