// Streams and events of a kind of device.
#include "tensor/stream.h"

#include "tensor/event.h"

namespace moat::tensor {

Stream::Stream(core::DeviceKind device, int index)
    : device_(device), index_(index), queue_(DeviceOf(device).make_stream(index)) {}

Event::Event(core::DeviceKind device) : device_(device), event_(DeviceOf(device).make_event()) {}

void Event::Record(Stream& stream) {
  MOAT_CHECK(stream.device() == device_, "an event of another kind of device");
  event_->Record(stream);
}

void Event::Wait(Stream& stream) {
  MOAT_CHECK(stream.device() == device_, "an event of another kind of device");
  event_->Wait(stream);
}

double Event::SecondsSince(const Event& earlier) const {
  MOAT_CHECK(earlier.device_ == device_, "events of two kinds of device");
  return event_->SecondsSince(*earlier.event_);
}

}  // namespace moat::tensor
