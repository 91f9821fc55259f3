// The NCCL communicator: what all have agreed on is enqueued on the device.
#include "comm/nccl.h"

#include <optional>
#include <utility>
#include <vector>

#include "comm/device_group.h"
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

class NcclCommunicator : public DeviceGroup {
 public:
  explicit NcclCommunicator(std::unique_ptr<Communicator> control)
      : DeviceGroup(std::move(control)) {}

 protected:
  void DeviceAllReduce(tensor::View buffer, ReduceOp op, Order order,
                       tensor::Stream& stream) override {
    RefuseTree(buffer.dtype, op, order);
    Enqueue(buffer.count, "all-reduce", stream, [&](ncclComm_t comm, cudaStream_t queue) {
      return ncclAllReduce(buffer.data, buffer.data, static_cast<size_t>(buffer.count),
                           TypeOf(buffer.dtype), OpOf(op), comm, queue);
    });
    CountReceived(core::Bytes(2 * buffer.bytes().value / size() * (size() - 1)));  // of a ring
  }

  void DeviceReduceScatter(tensor::ConstView input, tensor::View output, ReduceOp op, Order order,
                           tensor::Stream& stream) override {
    RefuseTree(input.dtype, op, order);
    Enqueue(output.count, "reduce-scatter", stream, [&](ncclComm_t comm, cudaStream_t queue) {
      return ncclReduceScatter(input.data, output.data, static_cast<size_t>(output.count),
                               TypeOf(input.dtype), OpOf(op), comm, queue);
    });
    CountReceived(core::Bytes(output.bytes().value * (size() - 1)));
  }

  void DeviceAllGather(tensor::ConstView input, tensor::View output,
                       tensor::Stream& stream) override {
    Enqueue(input.count, "all-gather", stream, [&](ncclComm_t comm, cudaStream_t queue) {
      return ncclAllGather(input.data, output.data, Size(input.bytes()), ncclUint8, comm, queue);
    });
    CountReceived(core::Bytes(input.bytes().value * (size() - 1)));
  }

  void DeviceBroadcast(tensor::View buffer, int root, tensor::Stream& stream) override {
    Enqueue(buffer.count, "broadcast", stream, [&](ncclComm_t comm, cudaStream_t queue) {
      return ncclBroadcast(buffer.data, buffer.data, Size(buffer.bytes()), ncclUint8, root, comm,
                           queue);
    });
    if (rank() != root) CountReceived(buffer.bytes());
  }

  void DoFinish(tensor::Stream& stream) override {
    if (stream.device() == core::DeviceKind::kCpu || !link_) return stream.Synchronize();
    Wait([&] {
      link_->CheckAlive();
      return stream.Done();
    });
  }

  std::unique_ptr<Communicator> DoGroup(const std::string& name,
                                        const std::vector<int>& ranks) override {
    return MakeNccl(control().Group(name, ranks));
  }

 private:
  void RefuseTree(core::DType dtype, ReduceOp op, Order order) const {
    const bool is_float = dtype == core::DType::kF32 || dtype == core::DType::kF64;
    if (order == Order::kAny || op != ReduceOp::kSum || !is_float || size() <= 2) return;
    throw core::ConfigError(
        "sums in canonical order are not offered over NCCL for more than two "
        "ranks yet; use --reduction=fast");
  }

  void Connect() {
    tensor::Stream host;
    ncclUniqueId id{};
    if (rank() == 0) id = MakeNcclId();
    control().Broadcast(tensor::HostView(reinterpret_cast<uint8_t*>(&id), sizeof id), 0, host);
    link_.emplace(id, rank(), size(), waiter_);
  }

  template <typename Operation>
  void Enqueue(int64_t count, const char* what, tensor::Stream& stream,
               const Operation& operation) {
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
