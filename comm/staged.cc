// The staged communicator.
#include "comm/staged.h"

#include <utility>

#include "tensor/ops.h"

namespace moat::comm {
namespace {

class StagedCommunicator : public Communicator {
 public:
  explicit StagedCommunicator(std::unique_ptr<Communicator> control)
      : Communicator(control->name(), control->rank(), control->members()),
        control_(std::move(control)) {
    SetDeadline(control_->deadline());
  }

  bool concurrent() const override { return control_->concurrent(); }
  core::Bytes buffer_bytes() const override {
    return control_->buffer_bytes() + in_.bytes() + out_.bytes();
  }

 protected:
  void DoAllReduce(tensor::View buffer, ReduceOp op, Order order, tensor::Stream& stream) override {
    OnHost(buffer, buffer, stream, [&](tensor::ConstView, tensor::View all, tensor::Stream& host) {
      control_->AllReduce(all, op, order, host);
    });
  }

  void DoReduceScatter(tensor::ConstView input, tensor::View output, ReduceOp op, Order order,
                       tensor::Stream& stream) override {
    OnHost(input, output, stream,
           [&](tensor::ConstView in, tensor::View out, tensor::Stream& host) {
             control_->ReduceScatter(in, out, op, order, host);
           });
  }

  void DoAllGather(tensor::ConstView input, tensor::View output, tensor::Stream& stream) override {
    OnHost(input, output, stream,
           [&](tensor::ConstView in, tensor::View out, tensor::Stream& host) {
             control_->AllGather(in, out, host);
           });
  }

  void DoBroadcast(tensor::View buffer, int root, tensor::Stream& stream) override {
    OnHost(buffer, buffer, stream, [&](tensor::ConstView, tensor::View all, tensor::Stream& host) {
      control_->Broadcast(all, root, host);
    });
  }

  void DoBarrier() override {
    control_->SetDeadline(deadline());
    control_->Barrier();
  }

  std::unique_ptr<Communicator> DoGroup(const std::string& name,
                                        const std::vector<int>& ranks) override {
    return MakeStaged(control_->Group(name, ranks));
  }

 private:
  static tensor::View Room(tensor::Tensor* memory, tensor::ConstView for_view) {
    if (memory->bytes().value < for_view.bytes().value) {
      *memory = tensor::Tensor(for_view.bytes().value, core::DType::kU8);
    }
    return {memory->view().data, for_view.count, for_view.dtype};
  }

  // Calls body(input, output, stream) with host memory that stands for a device's; in place, where
  // both are one.
  template <typename Body>
  void OnHost(tensor::ConstView input, tensor::View output, tensor::Stream& stream,
              const Body& body) {
    control_->SetDeadline(deadline());
    const uint64_t before = control_->traffic().received_bytes;
    if (stream.device() == core::DeviceKind::kCpu) {
      body(input, output, stream);
    } else {
      const bool in_place = input.data == output.data && input.count == output.count;
      const tensor::View in = Room(&in_, input), out = in_place ? in : Room(&out_, output);
      tensor::Copy(input, in, stream);
      stream.Synchronize();
      tensor::Stream host;
      body(in, out, host);
      tensor::Copy(out, output, stream);
      stream.Synchronize();  // the host's copy is used again
    }
    CountReceived(core::Bytes(static_cast<int64_t>(control_->traffic().received_bytes - before)));
  }

  std::unique_ptr<Communicator> control_;
  tensor::Tensor in_, out_;  // on the host, as large as the largest call so far
};

}  // namespace

std::unique_ptr<Communicator> MakeStaged(std::unique_ptr<Communicator> control) {
  return std::make_unique<StagedCommunicator>(std::move(control));
}

}  // namespace moat::comm
