// The memory of slices, on the host or on a device: the one place where checkpoints touch it.
// Internal to checkpoint/.
#pragma once

#include "checkpoint/checkpoint.h"
#include "tensor/host_stretches.h"

namespace moat::checkpoint {

// REQUIRES: as many elements as the slice has, and a stream of their device where that is not the
// host. BugError otherwise.
void CheckMemory(const SliceToSave& slice);
void CheckMemory(const SliceToLoad& slice);

// Calls take(const char* bytes, int64_t count) with all bytes of the slice in order, at most `most`
// at a time.
template <typename Take>
void ForEachStretchOfBytes(const SliceToSave& slice, int64_t most, const Take& take) {
  tensor::ForEachHostStretch(slice.data, most, slice.stream, take);
}

// What `box`, whose elements are `bytes` (host, row-major), and the slice have in common goes into
// the slice, and is there when this returns.
void Put(const parallel::Slice& box, const char* bytes, const SliceToLoad& slice);

}  // namespace moat::checkpoint
