// A view's bytes on the host, a stretch at a time, wherever the view lies.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tensor/ops.h"

namespace moat::tensor {

// What a stretch of a device's memory takes on the host at most, unless somebody wants less.
inline constexpr int64_t kHostStretchBytes = 4 << 20;

// Calls take(const char* bytes, int64_t count) with all bytes of `view` in order, at most `most` at
// a time (a multiple of the element's size). Host memory is lent as it is; a device's is copied
// after what was given to `stream` so far, and each copy is waited for. REQUIRES: `stream` is of
// the view's device; it may be null for host memory.
template <typename Take>
void ForEachHostStretch(ConstView view, int64_t most, Stream* stream, const Take& take) {
  const int64_t bytes = view.bytes().value, size = core::SizeOf(view.dtype);
  const bool here = view.device == core::DeviceKind::kCpu;
  MOAT_CHECK(here || stream != nullptr, "a device's memory is read on a stream");
  Tensor buffer;
  if (!here && bytes > 0) buffer = Tensor(std::min(most, bytes) / size, view.dtype);
  for (int64_t at = 0; at < bytes; at += most) {
    const int64_t n = std::min(most, bytes - at);
    if (here) {
      take(static_cast<const char*>(view.data) + at, n);
      continue;
    }
    const View copy = buffer.view().Range(0, n / size);
    Copy(view.Range(at / size, n / size), copy, *stream);
    stream->Synchronize();
    take(static_cast<const char*>(copy.data), n);
  }
}

}  // namespace moat::tensor
