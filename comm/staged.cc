// The staged communicator: copy in, exchange over the control group, copy out, two pieces at a
// time.
//
// The stream is given "in 0, in 1, out 0, in 2, out 1, in 3, ...", so the copies of one buffer are
// in order by themselves, and the device copies "out i - 1, in i + 1" while the host exchanges i.
#include "comm/staged.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "comm/block.h"
#include "comm/device_group.h"
#include "tensor/event.h"
#include "tensor/host_buffer.h"
#include "tensor/ops.h"

namespace moat::comm {
namespace {

// One of the two buffers.
class Slot {
 public:
  Slot(core::Bytes bytes, core::DeviceKind device)
      : full_(device), empty_(device), memory_(bytes, device) {}
  // Copies from the buffer may be under way.
  ~Slot() {
    try {
      empty_.Synchronize();
    } catch (const core::Error&) {
      // The device failed, so nothing runs there; who waits for the stream is told.
    }
  }
  Slot(const Slot&) = delete;

  tensor::View view(int64_t count, core::DType dtype) { return memory_.view(count, dtype); }
  tensor::Event& full() { return full_; }    // after the copies in
  tensor::Event& empty() { return empty_; }  // after the copies out

 private:
  tensor::Event full_, empty_;
  tensor::HostBuffer memory_;
};

class StagedCommunicator : public DeviceGroup {
 public:
  StagedCommunicator(std::unique_ptr<Communicator> control, core::Bytes staging)
      : DeviceGroup(std::move(control)), staging_(staging) {
    MOAT_CHECK(8 * size() <= staging.value, "staging buffers hold an element of each rank");
  }

  core::Bytes buffer_bytes() const override {
    return core::Bytes(DeviceGroup::buffer_bytes().value + (slots_[0] ? 2 * staging_.value : 0));
  }

 protected:
  void DeviceAllReduce(tensor::View buffer, ReduceOp op, Order order,
                       tensor::Stream& stream) override {
    const core::DType dtype = buffer.dtype;
    InPieces(
        buffer.count, PieceOf(dtype, 1), stream,
        [&](Slot& slot, Block piece) {
          tensor::Copy(buffer.Range(piece.begin, piece.count), slot.view(piece.count, dtype),
                       stream);
        },
        [&](Communicator& group, Slot& slot, int64_t n) {
          group.AllReduce(slot.view(n, dtype), op, order, host_);
        },
        [&](Slot& slot, Block piece) {
          tensor::Copy(slot.view(piece.count, dtype), buffer.Range(piece.begin, piece.count),
                       stream);
        });
  }

  // A slot holds the same piece of every rank's block.
  void DeviceReduceScatter(tensor::ConstView input, tensor::View output, ReduceOp op, Order order,
                           tensor::Stream& stream) override {
    const core::DType dtype = input.dtype;
    InPieces(
        output.count, PieceOf(dtype, size()), stream,
        [&](Slot& slot, Block piece) {
          for (int r = 0; r < size(); ++r) {
            tensor::Copy(input.Range(r * output.count + piece.begin, piece.count),
                         slot.view(size() * piece.count, dtype).Range(r * piece.count, piece.count),
                         stream);
          }
        },
        [&](Communicator& group, Slot& slot, int64_t n) {
          const tensor::View all = slot.view(size() * n, dtype);
          group.ReduceScatter(all, all.Range(rank() * n, n), op, order, host_);
        },
        [&](Slot& slot, Block piece) {
          tensor::Copy(
              slot.view(size() * piece.count, dtype).Range(rank() * piece.count, piece.count),
              output.Range(piece.begin, piece.count), stream);
        });
  }

  void DeviceAllGather(tensor::ConstView input, tensor::View output,
                       tensor::Stream& stream) override {
    const core::DType dtype = input.dtype;
    InPieces(
        input.count, PieceOf(dtype, size()), stream,
        [&](Slot& slot, Block piece) {
          tensor::Copy(
              input.Range(piece.begin, piece.count),
              slot.view(size() * piece.count, dtype).Range(rank() * piece.count, piece.count),
              stream);
        },
        [&](Communicator& group, Slot& slot, int64_t n) {
          const tensor::View all = slot.view(size() * n, dtype);
          group.AllGather(all.Range(rank() * n, n), all, host_);
        },
        [&](Slot& slot, Block piece) {
          for (int r = 0; r < size(); ++r) {
            tensor::Copy(slot.view(size() * piece.count, dtype).Range(r * piece.count, piece.count),
                         output.Range(r * input.count + piece.begin, piece.count), stream);
          }
        });
  }

  void DeviceBroadcast(tensor::View buffer, int root, tensor::Stream& stream) override {
    const core::DType dtype = buffer.dtype;
    InPieces(
        buffer.count, PieceOf(dtype, 1), stream,
        [&](Slot& slot, Block piece) {
          if (rank() != root) return;
          tensor::Copy(buffer.Range(piece.begin, piece.count), slot.view(piece.count, dtype),
                       stream);
        },
        [&](Communicator& group, Slot& slot, int64_t n) {
          group.Broadcast(slot.view(n, dtype), root, host_);
        },
        [&](Slot& slot, Block piece) {
          if (rank() == root) return;
          tensor::Copy(slot.view(piece.count, dtype), buffer.Range(piece.begin, piece.count),
                       stream);
        });
  }

  std::unique_ptr<Communicator> DoGroup(const std::string& name,
                                        const std::vector<int>& ranks) override {
    return MakeStaged(control().Group(name, ranks), staging_);
  }

 private:
  // Elements of a piece, `parts` of which fill a buffer.
  int64_t PieceOf(core::DType dtype, int parts) const {
    return staging_.value / core::SizeOf(dtype) / parts;
  }

  // in(slot, piece) and out(slot, piece) enqueue copies; exchange(group, slot, elements) runs when
  // the slot's copies in are done, and nothing reads the slot any more.
  template <typename In, typename Exchange, typename Out>
  void InPieces(int64_t count, int64_t piece, tensor::Stream& stream, const In& in,
                const Exchange& exchange, const Out& out) {
    if (count == 0) return;
    for (auto& slot : slots_) {
      if (!slot) slot.emplace(staging_, stream.device());
      slot->empty().Wait(stream);  // the collective before may have been on another stream
    }
    const int64_t pieces = (count + piece - 1) / piece;
    const auto slot_of = [&](int64_t i) -> Slot& { return *slots_[static_cast<size_t>(i % 2)]; };
    const auto piece_of = [&](int64_t i) {
      return Block{i * piece, std::min(piece, count - i * piece)};
    };
    const auto fill = [&](int64_t i) {
      if (i >= pieces) return;
      in(slot_of(i), piece_of(i));
      slot_of(i).full().Record(stream);
    };
    fill(0);
    for (int64_t i = 0; i < pieces; ++i) {
      fill(i + 1);
      slot_of(i).full().Synchronize();
      OnControl([&](Communicator& group) { exchange(group, slot_of(i), piece_of(i).count); });
      out(slot_of(i), piece_of(i));
      slot_of(i).empty().Record(stream);
    }
  }

  core::Bytes staging_;
  tensor::Stream host_;
  std::array<std::optional<Slot>, 2> slots_;
};

}  // namespace

std::unique_ptr<Communicator> MakeStaged(std::unique_ptr<Communicator> control,
                                         core::Bytes staging) {
  return std::make_unique<StagedCommunicator>(std::move(control), staging);
}

}  // namespace moat::comm
