// The NCCL communicator: agree on the host, enqueue on the device.
#include "comm/nccl.h"

#include <optional>
#include <utility>
#include <vector>

#include "comm/nccl_link.h"
#include "core/error.h"
#include "tensor/cuda/stream.h"
#include "tensor/ops.h"

namespace moat::comm {
namespace {

ncclDataType_t TypeOf(core::DType dtype) {
  switch (dtype) {
    case core::DType::kF32:
      return ncclFloat32;
    case core::DType::kF64:
      return ncclFloat64;
    case core::DType::kU64:
      return ncclUint64;
    case core::DType::kI64:
      return ncclInt64;
    default:
      MOAT_CHECK(false, "NCCL reduces what CanReduce offers");
      return ncclUint8;
  }
}

ncclRedOp_t OpOf(ReduceOp op) {
  return op == ReduceOp::kSum ? ncclSum : op == ReduceOp::kMax ? ncclMax : ncclMin;
}

size_t Size(core::Bytes bytes) { return static_cast<size_t>(bytes.value); }

class NcclCommunicator : public Communicator {
 public:
  explicit NcclCommunicator(std::unique_ptr<Communicator> control)
      : Communicator(control->name(), control->rank(), control->members()),
        control_(std::move(control)) {
    SetDeadline(control_->deadline());
  }

 protected:
  void DoAllReduce(tensor::View buffer, ReduceOp op, Order order, tensor::Stream& stream) override {
    if (OnHost(stream)) return OnControl([&] { control_->AllReduce(buffer, op, order, stream); });
    RefuseTree(buffer.dtype, op, order);
    Enqueue(buffer.count, "all-reduce", stream, [&](ncclComm_t comm, cudaStream_t queue) {
      return ncclAllReduce(buffer.data, buffer.data, static_cast<size_t>(buffer.count),
                           TypeOf(buffer.dtype), OpOf(op), comm, queue);
    });
    CountReceived(core::Bytes(2 * buffer.bytes().value / size() * (size() - 1)));  // of a ring
  }

  void DoReduceScatter(tensor::ConstView input, tensor::View output, ReduceOp op, Order order,
                       tensor::Stream& stream) override {
    if (OnHost(stream))
      return OnControl([&] { control_->ReduceScatter(input, output, op, order, stream); });
    RefuseTree(input.dtype, op, order);
    Enqueue(output.count, "reduce-scatter", stream, [&](ncclComm_t comm, cudaStream_t queue) {
      return ncclReduceScatter(input.data, output.data, static_cast<size_t>(output.count),
                               TypeOf(input.dtype), OpOf(op), comm, queue);
    });
    CountReceived(core::Bytes(output.bytes().value * (size() - 1)));
  }

  void DoAllGather(tensor::ConstView input, tensor::View output, tensor::Stream& stream) override {
    if (OnHost(stream)) return OnControl([&] { control_->AllGather(input, output, stream); });
    Enqueue(input.count, "all-gather", stream, [&](ncclComm_t comm, cudaStream_t queue) {
      return ncclAllGather(input.data, output.data, Size(input.bytes()), ncclUint8, comm, queue);
    });
    CountReceived(core::Bytes(input.bytes().value * (size() - 1)));
  }

  void DoBroadcast(tensor::View buffer, int root, tensor::Stream& stream) override {
    if (OnHost(stream)) return OnControl([&] { control_->Broadcast(buffer, root, stream); });
    Enqueue(buffer.count, "broadcast", stream, [&](ncclComm_t comm, cudaStream_t queue) {
      return ncclBroadcast(buffer.data, buffer.data, Size(buffer.bytes()), ncclUint8, root, comm,
                           queue);
    });
    if (rank() != root) CountReceived(buffer.bytes());
  }

  void DoBarrier() override {
    control_->SetDeadline(deadline());
    control_->Barrier();
  }

  void DoFinish(tensor::Stream& stream) override {
    if (OnHost(stream) || !link_) return stream.Synchronize();
    Wait([&] {
      link_->CheckAlive();
      return stream.Done();
    });
  }

  std::unique_ptr<Communicator> DoGroup(const std::string& name,
                                        const std::vector<int>& ranks) override {
    control_->SetDeadline(deadline());
    return MakeNccl(control_->Group(name, ranks));
  }

 private:
  // The control group's deadline is ours whenever it is used.
  bool OnHost(const tensor::Stream& stream) {
    control_->SetDeadline(deadline());
    return stream.device() == core::DeviceKind::kCpu;
  }

  template <typename Body>
  void OnControl(const Body& body) {
    const uint64_t before = control_->traffic().received_bytes;
    body();
    CountReceived(core::Bytes(static_cast<int64_t>(control_->traffic().received_bytes - before)));
  }

  void RefuseTree(core::DType dtype, ReduceOp op, Order order) const {
    const bool is_float = dtype == core::DType::kF32 || dtype == core::DType::kF64;
    if (order == Order::kAny || op != ReduceOp::kSum || !is_float || size() <= 2) return;
    throw core::ConfigError(
        "sums in canonical order are not offered over NCCL for more than two "
        "ranks yet; use --reduction=fast");
  }

  // All ranks are here and ask for the same, or every rank throws.
  void Agree() {
    tensor::Stream host;
    const Call::Words mine = keeper().call().words();
    std::vector<Call::Words> calls(static_cast<size_t>(size()));
    try {
      control_->AllGather(tensor::HostView(mine.data(), std::ssize(mine)),
                          tensor::HostView(calls.data()->data(), size() * std::ssize(mine)), host);
    } catch (const core::PeerError& error) {
      throw core::PeerError(std::string(error.what()) + " (this was to agree on " +
                            keeper().call().text() + ")");
    }
    keeper().CheckSameCall(calls);
  }

  void Connect() {
    tensor::Stream host;
    ncclUniqueId id{};
    if (rank() == 0) id = MakeNcclId();
    control_->Broadcast(tensor::HostView(reinterpret_cast<uint8_t*>(&id), sizeof id), 0, host);
    link_.emplace(id, rank(), size(), waiter_);
  }

  template <typename Operation>
  void Enqueue(int64_t count, const char* what, tensor::Stream& stream,
               const Operation& operation) {
    Agree();
    if (count == 0) return;
    if (!link_) Connect();
    link_->Settle(operation(link_->get(), tensor::cuda::Of(stream).get()), what, waiter_);
  }

  void Wait(const std::function<bool()>& ready) {
    keeper().Wait(ready, [&]() -> std::vector<int> {
      if (link_) link_->Abort();
      throw core::PeerError("lost peer: " + keeper().call().text() + " in group '" + name() +
                            "' did not end within " + std::to_string(deadline()) +
                            " s, though all ranks had started it; look at the other ranks' logs "
                            "for the first failure");
    });
  }

  std::unique_ptr<Communicator> control_;
  const NcclLink::Waiter waiter_ = [this](const std::function<bool()>& ready) { Wait(ready); };
  std::optional<NcclLink> link_;
};

}  // namespace

std::unique_ptr<Communicator> MakeNccl(std::unique_ptr<Communicator> control) {
  return std::make_unique<NcclCommunicator>(std::move(control));
}

int NcclVersion() {
  int version = 0;
  return ncclGetVersion(&version) == ncclSuccess ? version : 0;
}

void CheckNccl(tensor::Stream& stream) {
  constexpr int64_t kCount = 4099;
  const NcclLink::Waiter wait = [](const std::function<bool()>& ready) {
    DeadlineKeeper("this process", 0, {Member{}}).Wait(ready, [] { return std::vector<int>{0}; });
  };
  std::vector<float> values(kCount);
  for (int64_t i = 0; i < kCount; ++i) values[static_cast<size_t>(i)] = static_cast<float>(i % 97);
  tensor::Tensor from(kCount, core::DType::kF32, core::DeviceKind::kCuda);
  tensor::Tensor to(kCount, core::DType::kF32, core::DeviceKind::kCuda);
  tensor::Copy(tensor::HostView(std::as_const(values).data(), kCount), from.view(), stream);
  NcclLink link(MakeNcclId(), 0, 1, wait);
  link.Settle(ncclAllReduce(from.view().data, to.view().data, kCount, ncclFloat32, ncclSum,
                            link.get(), tensor::cuda::Of(stream).get()),
              "all-reduce", wait);
  std::vector<float> got(kCount);
  tensor::Copy(std::as_const(to).view(), tensor::HostView(got.data(), kCount), stream);
  wait([&] {
    link.CheckAlive();
    return stream.Done();
  });
  if (got != values) {
    throw core::Error(core::ExitCode::kNode, "NCCL: the sum of one rank is not what it gave");
  }
}

}  // namespace moat::comm
