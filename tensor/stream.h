// A stream orders work on one device.
//
// The CPU's runs everything inline, in the caller's thread, on `threads` OpenMP threads. A CUDA
// stream owns a queue of its device, with what the libraries that work on it need; ops return when
// enqueued, and the stream must outlive them (its destructor waits).
//
// CUDA devices are chosen per thread: making a stream makes its device the calling thread's, on
// which the thread's later tensors and events are.
#pragma once

#include <memory>

#include "core/device_kind.h"
#include "core/error.h"
#include "tensor/device.h"

namespace moat::tensor {

class Stream {
 public:
  // A CPU stream. REQUIRES: threads >= 1. Results of ops never depend on `threads`.
  explicit Stream(int threads = 1) : threads_(threads) {
    MOAT_CHECK(threads >= 1, "a stream needs a thread");
  }
  // A stream of device `index` of `device`, numbered from 0 as the process sees them; the CPU has
  // number 0 only. Throws ConfigError when there is no such device.
  Stream(core::DeviceKind device, int index);
  // Another stream of the same device, for the calling thread; the CPU's has one OpenMP thread.
  Stream Beside() const { return queue_ ? Stream(device_, index_) : Stream(1); }
  Stream(Stream&&) noexcept = default;
  Stream& operator=(Stream&&) noexcept = default;

  core::DeviceKind device() const { return device_; }
  int index() const { return index_; }
  int threads() const { return threads_; }
  // All work given to the stream is done. What went wrong on the device is thrown here or by
  // Synchronize().
  bool Done() const { return !queue_ || queue_->Done(); }
  void Synchronize() const {  // returns when it is
    if (queue_) queue_->Synchronize();
  }

  DeviceStream* queue() const { return queue_.get(); }  // for the device's own kernels

 private:
  int threads_ = 1;
  core::DeviceKind device_ = core::DeviceKind::kCpu;
  int index_ = 0;
  std::unique_ptr<DeviceStream> queue_;
};

}  // namespace moat::tensor
