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

  // The control group, under this group's deadline.
  Communicator& control();
  // What body() receives over the control group counts as received here.
  template <typename Body>
  void OnControl(const Body& body) {
    const uint64_t before = control().traffic().received_bytes;
    body(*control_);
    CountReceived(core::Bytes(static_cast<int64_t>(control_->traffic().received_bytes - before)));
  }

 private:
  void DoAllReduce(tensor::View buffer, ReduceOp op, Order order, tensor::Stream& stream) final;
  void DoReduceScatter(tensor::ConstView input, tensor::View output, ReduceOp op, Order order,
                       tensor::Stream& stream) final;
  void DoAllGather(tensor::ConstView input, tensor::View output, tensor::Stream& stream) final;
  void DoBroadcast(tensor::View buffer, int root, tensor::Stream& stream) final;
  void DoBarrier() final { control().Barrier(); }

  void Agree();

  std::unique_ptr<Communicator> control_;
};

}  // namespace moat::comm
