// The NCCL communicator: what all have agreed on is enqueued on the device.
#include "comm/nccl.h"

#include <chrono>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "comm/device_group.h"
#include "comm/nccl_link.h"
#include "comm/tree_exchange.h"
#include "core/clock.h"
#include "core/error.h"
#include "tensor/cuda/stream.h"
#include "tensor/event.h"
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

// What was aborted leaves the device soon, and what was given behind it follows: copies to memory
// of the host which the caller frees as it unwinds.
void LetRunOut(const tensor::Stream& stream) {
  const double end = core::MonotonicSeconds() + NcclLink::kAbortSeconds;
  try {
    while (!stream.Done() && core::MonotonicSeconds() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  } catch (const core::Error&) {  // a broken device does nothing more
  }
}

constexpr core::Bytes kTreeScratch{32 << 20};

size_t Size(core::Bytes bytes) { return static_cast<size_t>(bytes.value); }

// Carries a TreeExchange: every Exchange() is one group of NCCL's sends and receives.
class Messages {
 public:
  Messages(NcclLink& link, const NcclLink::Waiter& waiter, tensor::Stream& stream)
      : link_(link), waiter_(waiter), stream_(stream) {}

  void Send(tensor::ConstView view, int to) { sends_.push_back({view, to}); }
  void Receive(tensor::View view, int from) { receives_.push_back({view, from}); }
  void Exchange() {
    const cudaStream_t queue = tensor::cuda::Of(stream_).get();
    link_.Call("messages of a sum in order", waiter_, [&](ncclComm_t comm) {
      ncclResult_t result = ncclGroupStart();
      const auto add = [&](ncclResult_t added) {
        if (result == ncclSuccess && added != ncclInProgress) result = added;
      };
      for (const auto& [view, to] : sends_) {
        add(ncclSend(view.data, Size(view.bytes()), ncclUint8, to, comm, queue));
      }
      for (const auto& [view, from] : receives_) {
        add(ncclRecv(view.data, Size(view.bytes()), ncclUint8, from, comm, queue));
      }
      const ncclResult_t ended = ncclGroupEnd();
      return result == ncclSuccess ? ended : result;
    });
    sends_.clear();
    receives_.clear();
  }
  void Add(tensor::ConstView x, tensor::View y) { tensor::Add(x, y, stream_); }
  void Copy(tensor::ConstView x, tensor::View y) { tensor::Copy(x, y, stream_); }

 private:
  NcclLink& link_;
  const NcclLink::Waiter& waiter_;
  tensor::Stream& stream_;
  std::vector<std::pair<tensor::ConstView, int>> sends_;
  std::vector<std::pair<tensor::View, int>> receives_;
};

// What sums in tree order keep.
struct TreeMemory {
  explicit TreeMemory(core::DeviceKind device)
      : scratch(kTreeScratch.value / core::SizeOf(core::DType::kF32), core::DType::kF32, device),
        done(device) {}
  tensor::Tensor scratch;
  tensor::Event done;  // the last use of it
};

class NcclCommunicator : public DeviceGroup {
 public:
  NcclCommunicator(std::unique_ptr<Communicator> control, std::shared_ptr<NcclLinks> links)
      : DeviceGroup(std::move(control)), links_(std::move(links)) {}

  bool alone_on_device() const override { return true; }
  void Abandon() override {
    DeviceGroup::Abandon();
    EndWork(core::PeerError("group '" + name() + "' was abandoned: this rank failed elsewhere"));
  }
  const std::shared_ptr<NcclLinks>& links() const { return links_; }

 protected:
  void DeviceAllReduce(tensor::View buffer, ReduceOp op, Order order,
                       tensor::Stream& stream) override {
    if (NeedsTree(buffer.dtype, op, order)) {
      OverTree(buffer.count, stream, [&](auto& tree) { tree.AllReduce(buffer); });
    } else {
      Enqueue(buffer.count, "all-reduce", stream, [&](ncclComm_t comm, cudaStream_t queue) {
        return ncclAllReduce(buffer.data, buffer.data, static_cast<size_t>(buffer.count),
                             TypeOf(buffer.dtype), OpOf(op), comm, queue);
      });
    }
    CountReceived(core::Bytes(2 * buffer.bytes().value / size() * (size() - 1)));  // of a ring
  }

  void DeviceReduceScatter(tensor::ConstView input, tensor::View output, ReduceOp op, Order order,
                           tensor::Stream& stream) override {
    if (NeedsTree(input.dtype, op, order)) {
      OverTree(output.count, stream, [&](auto& tree) { tree.ReduceScatter(input, output); });
    } else {
      Enqueue(output.count, "reduce-scatter", stream, [&](ncclComm_t comm, cudaStream_t queue) {
        return ncclReduceScatter(input.data, output.data, static_cast<size_t>(output.count),
                                 TypeOf(input.dtype), OpOf(op), comm, queue);
      });
    }
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

  void EndWork(const core::Error& error) override { links_->Abort(error.what(), error.failed()); }

  void DoFinish(tensor::Stream& stream) override {
    if (stream.device() == core::DeviceKind::kCpu) return stream.Synchronize();
    try {
      Wait([&] {
        links_->CheckAlive();
        return stream.Done();
      });
    } catch (const core::Error&) {
      LetRunOut(stream);
      throw;
    }
    links_->IsDone(stream);
  }

  std::unique_ptr<Communicator> DoGroup(const std::string& name,
                                        const std::vector<int>& ranks) override {
    return std::make_unique<NcclCommunicator>(control().Group(name, ranks), links_);
  }

 private:
  // Does NCCL's own order not do? The sum of two has only one order.
  bool NeedsTree(core::DType dtype, ReduceOp op, Order order) const {
    const bool is_float = dtype == core::DType::kF32 || dtype == core::DType::kF64;
    if (order == Order::kAny || op != ReduceOp::kSum || !is_float || size() <= 2) return false;
    if (dtype == core::DType::kF32) return true;
    throw core::ConfigError(
        "sums of f64 in canonical order are not offered over NCCL for more than two ranks: sum "
        "them on the host");
  }

  // body(exchange) on `stream`, whose scratch the collective before may use on another one.
  template <typename Body>
  void OverTree(int64_t count, tensor::Stream& stream, const Body& body) {
    if (count == 0) return;
    NcclLink& link = LinkFor(stream);
    if (!tree_) tree_.emplace(stream.device());
    tree_->done.Wait(stream);
    Messages messages(link, waiter_, stream);
    TreeExchange<Messages> exchange(rank(), size(), tree_->scratch.view(), messages);
    body(exchange);
    tree_->done.Record(stream);
  }

  // Connected when it is first asked for.
  NcclLink& LinkFor(const tensor::Stream& stream) {
    if (!link_) {
      tensor::Stream host;
      ncclUniqueId id{};
      if (rank() == 0) id = MakeNcclId();
      WithControl([&](Communicator& group) {
        group.Broadcast(tensor::HostView(reinterpret_cast<uint8_t*>(&id), sizeof id), 0, host);
      });
      link_.emplace(name(), id, rank(), size(), waiter_, links_);
    }
    link_->CheckUsable();
    links_->WorksOn(*link_, stream);
    return *link_;
  }

  template <typename Operation>
  void Enqueue(int64_t count, const char* what, tensor::Stream& stream,
               const Operation& operation) {
    if (count == 0) return;
    const cudaStream_t queue = tensor::cuda::Of(stream).get();
    LinkFor(stream).Call(what, waiter_, [&](ncclComm_t comm) { return operation(comm, queue); });
  }

  // Where it throws, nothing of this rank's groups stays on the device.
  void Wait(const std::function<bool()>& ready) {
    try {
      keeper().Wait(ready, [&]() -> std::vector<int> {
        WaitedInVain("lost peer: " + keeper().call().text() + " in group '" + name() +
                     "', or what it followed, did not end within " + std::to_string(deadline()) +
                     " s, though all ranks had started it");
      });
    } catch (const core::Error& error) {
      EndWork(error);
      throw;
    }
  }

  const NcclLink::Waiter waiter_ = [this](const std::function<bool()>& ready) { Wait(ready); };
  std::optional<TreeMemory> tree_;
  std::shared_ptr<NcclLinks> links_;
  std::optional<NcclLink> link_;
};

}  // namespace

std::unique_ptr<Communicator> MakeNccl(std::unique_ptr<Communicator> control,
                                       const Communicator* beside) {
  const auto* const other = dynamic_cast<const NcclCommunicator*>(beside);
  return std::make_unique<NcclCommunicator>(
      std::move(control), other != nullptr ? other->links() : std::make_shared<NcclLinks>());
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
  NcclLink link("this process", MakeNcclId(), 0, 1, wait);
  link.Call("all-reduce", wait, [&](ncclComm_t comm) {
    return ncclAllReduce(from.view().data, to.view().data, kCount, ncclFloat32, ncclSum, comm,
                         tensor::cuda::Of(stream).get());
  });
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
