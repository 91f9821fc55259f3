// What every group of devices' memory shares (comm/nccl.h, comm/staged.h): it stands on a control
// group of the same ranks, which moves host memory.
//
// Host memory and barriers go straight to the control group. Before a collective of device memory
// starts, the ranks agree on the call there, so that a mix-up or a missing rank is found where it
// can be named.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace moat::comm {

class DeviceGroup : public Communicator {
 public:
  bool concurrent() const override { return control_->concurrent(); }
  void Abandon() override;
  core::Bytes buffer_bytes() const override { return control_->buffer_bytes(); }

 protected:
  explicit DeviceGroup(std::unique_ptr<Communicator> control);

  // Device memory, two ranks or more, all of which made this call. Elements may be 0.
  virtual void DeviceAllReduce(tensor::View buffer, ReduceOp op, Order order,
                               tensor::Stream& stream) = 0;
  virtual void DeviceReduceScatter(tensor::ConstView input, tensor::View output, ReduceOp op,
                                   Order order, tensor::Stream& stream) = 0;
  virtual void DeviceAllGather(tensor::ConstView input, tensor::View output,
                               tensor::Stream& stream) = 0;
  virtual void DeviceBroadcast(tensor::View buffer, int root, tensor::Stream& stream) = 0;

  // The group has failed: what of it would wait on the device for peers is to leave it.
  virtual void EndWork(const core::Error&) {}

  // The control group, under this group's deadline.
  Communicator& control();
  // Throws PeerError: `what` says which work on the device was waited for in vain. The ranks that
  // do not answer on the host within some seconds are named; whose own wait fails later than that
  // is one of them.
  [[noreturn]] void WaitedInVain(const std::string& what);
  // body(control group); where that fails, what was started before may wait for the same peer.
  template <typename Body>
  void WithControl(const Body& body) {
    try {
      body(control());
    } catch (const core::Error& error) {
      EndWork(error);
      throw;
    }
  }
  // The same; what body() receives counts as received here.
  template <typename Body>
  void OnControl(const Body& body) {
    const uint64_t before = control().traffic().received_bytes;
    WithControl(body);
    CountReceived(core::Bytes(static_cast<int64_t>(control_->traffic().received_bytes - before)));
  }

 private:
  void DoAllReduce(tensor::View buffer, ReduceOp op, Order order, tensor::Stream& stream) final;
  void DoReduceScatter(tensor::ConstView input, tensor::View output, ReduceOp op, Order order,
                       tensor::Stream& stream) final;
  void DoAllGather(tensor::ConstView input, tensor::View output, tensor::Stream& stream) final;
  void DoBroadcast(tensor::View buffer, int root, tensor::Stream& stream) final;
  void DoBarrier() final {
    WithControl([](Communicator& group) { group.Barrier(); });
  }

  void Agree();

  std::unique_ptr<Communicator> control_;
};

}  // namespace moat::comm
