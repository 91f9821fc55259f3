// Host memory to the control group, device memory to the backend once all agree.
#include "comm/device_group.h"

#include <utility>

namespace moat::comm {
namespace {

bool OnHost(const tensor::Stream& stream) { return stream.device() == core::DeviceKind::kCpu; }

}  // namespace

DeviceGroup::DeviceGroup(std::unique_ptr<Communicator> control)
    : Communicator(control->name(), control->rank(), control->members()),
      control_(std::move(control)) {
  SetDeadline(control_->deadline());
}

void DeviceGroup::Abandon() {
  Communicator::Abandon();
  control_->Abandon();
}

Communicator& DeviceGroup::control() {
  control_->SetDeadline(deadline());
  return *control_;
}

void DeviceGroup::WaitedInVain(const std::string& what) {
  constexpr double kSeconds = 5;
  control_->SetDeadline(kSeconds);
  try {
    control_->RollCall();
  } catch (const core::PeerError& error) {
    throw core::PeerError(what + "; asked on the host: " + error.what(), error.failed());
  }
  throw core::PeerError(what +
                        "; on the host all ranks answer, so a device or the network is stuck");
}

// All ranks are here and ask for the same, or every rank throws.
void DeviceGroup::Agree() {
  tensor::Stream host;
  const Call::Words mine = keeper().call().words();
  std::vector<Call::Words> calls(static_cast<size_t>(size()));
  try {
    WithControl([&](Communicator& group) {
      group.AllGather(tensor::HostView(mine.data(), std::ssize(mine)),
                      tensor::HostView(calls.data()->data(), size() * std::ssize(mine)), host);
    });
  } catch (const core::PeerError& error) {
    throw core::PeerError(
        std::string(error.what()) + " (this was to agree on " + keeper().call().text() + ")",
        error.failed());
  }
  keeper().CheckSameCall(calls);
}

void DeviceGroup::DoAllReduce(tensor::View buffer, ReduceOp op, Order order,
                              tensor::Stream& stream) {
  if (OnHost(stream)) {
    return OnControl([&](Communicator& group) { group.AllReduce(buffer, op, order, stream); });
  }
  Agree();
  DeviceAllReduce(buffer, op, order, stream);
}

void DeviceGroup::DoReduceScatter(tensor::ConstView input, tensor::View output, ReduceOp op,
                                  Order order, tensor::Stream& stream) {
  if (OnHost(stream)) {
    return OnControl(
        [&](Communicator& group) { group.ReduceScatter(input, output, op, order, stream); });
  }
  Agree();
  DeviceReduceScatter(input, output, op, order, stream);
}

void DeviceGroup::DoAllGather(tensor::ConstView input, tensor::View output,
                              tensor::Stream& stream) {
  if (OnHost(stream)) {
    return OnControl([&](Communicator& group) { group.AllGather(input, output, stream); });
  }
  Agree();
  DeviceAllGather(input, output, stream);
}

void DeviceGroup::DoBroadcast(tensor::View buffer, int root, tensor::Stream& stream) {
  if (OnHost(stream)) {
    return OnControl([&](Communicator& group) { group.Broadcast(buffer, root, stream); });
  }
  Agree();
  DeviceBroadcast(buffer, root, stream);
}

}  // namespace moat::comm
