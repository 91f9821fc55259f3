// An event is a point in a stream's work: another stream can wait for it, and time between two can
// be told.
#pragma once

#include <memory>

#include "core/device_kind.h"
#include "tensor/stream.h"

namespace moat::tensor {

class Event {
 public:
  // An event of the calling thread's device (tensor/stream.h).
  explicit Event(core::DeviceKind device = core::DeviceKind::kCpu);

  // The point after all work given to `stream` so far; an earlier point of this event is forgotten.
  // REQUIRES: a stream of the event's kind, here and below.
  void Record(Stream& stream);
  // What is given to `stream` from now on starts after the recorded point; the caller does not
  // wait. An event that was never recorded holds nobody up.
  void Wait(Stream& stream);
  bool Done() const { return event_->Done(); }
  void Synchronize() const { event_->Synchronize(); }
  // Seconds on the device between two recorded points; waits for both.
  double SecondsSince(const Event& earlier) const;

 private:
  core::DeviceKind device_;
  std::unique_ptr<DeviceEvent> event_;
};

}  // namespace moat::tensor
