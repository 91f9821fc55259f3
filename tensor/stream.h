// A stream orders work on one device. The CPU's runs everything inline, in the caller's thread, on
// `threads` OpenMP threads.
#pragma once

#include "core/device_kind.h"
#include "core/dtype.h"
#include "core/error.h"

namespace moat::tensor {

class Stream {
 public:
  // A CPU stream. REQUIRES: threads >= 1. Results of ops never depend on `threads`.
  explicit Stream(int threads = 1) : threads_(threads) {
    MOAT_CHECK(threads >= 1, "a stream needs a thread");
  }
  core::DeviceKind device() const { return core::DeviceKind::kCpu; }
  int threads() const { return threads_; }
  void Synchronize() {}  // returns when all work given to the stream is done

 private:
  int threads_;
};

}  // namespace moat::tensor
