// A stream orders work on one device. The CPU's runs everything inline, in the caller's thread, on
// `threads` OpenMP threads.
#pragma once

#include <memory>

#include "core/device_kind.h"

namespace moat::tensor {

struct KernelTable;

class Stream {
 public:
  // A CPU stream. REQUIRES: threads >= 1. Results of ops never depend on `threads`.
  explicit Stream(int threads = 1);
  core::DeviceKind device() const { return core::DeviceKind::kCpu; }
  int threads() const { return threads_; }
  const KernelTable& kernels() const { return *kernels_; }
  void Synchronize() {}  // returns when all work given to the stream is done

 private:
  int threads_;
  const KernelTable* kernels_;
};

}  // namespace moat::tensor
