// Communicator: what a group of ranks does together.
//
// Every public collective checks its arguments (dtype, counts, roots, device), returns at once in a
// group of one where nothing is to be done, registers with the deadline keeper (comm/deadline.h)
// and calls the backend's Do...(). It is ordered on the stream it is given and returns when
// enqueued; CPU backends finish before they return.
//
// All ranks of a group call the same collectives in the same order with the same counts and dtypes.
// A rank that does not arrive within the deadline ends the job: every other rank throws
// core::PeerError naming group, operation, sequence number and the missing ranks. No collective
// runs in a destructor. A communicator belongs to one thread at a time.
//
// Backends: self (size 1), threads (ranks are threads of one process; the readable reference), mpi
// (host memory).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tensor/stream.h"
#include "tensor/tensor.h"

namespace moat::comm {

enum class ReduceOp { kSum, kMax, kMin };

// The order in which a sum over ranks is taken. It matters for floats only.
enum class Order {
  // One binary tree over rank numbers, whatever the backend, count or piece size:
  // ((r0+r1)+(r2+r3))+... ; for a size that is not a power
  // of two, each subtree's left part is the largest power of two below its size. Bits depend on the
  // inputs and the group's size only.
  kTree,
  // Whatever the backend does fastest.
  kAny,
};

// What this rank moved, for tests of a protocol's cost. Payload bytes, without headers.
struct Traffic {
  uint64_t received_bytes = 0;
  uint64_t collectives = 0;
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  const std::string& name() const { return name_; }  // "world", "data", "tensor"

  // In place: buffer becomes the reduction of all ranks' buffers. dtypes: f32, f64, u64, i64 (bf16
  // sums are not offered: gradients are f32). Received bytes: at most 2 x (size-1)/size x the
  // buffer for Order::kTree (reduce-scatter plus all-gather).
  void AllReduce(tensor::View buffer, ReduceOp op, Order order, tensor::Stream& stream);

  // `input` has size() equal blocks; `output` becomes the sum of block rank() over all ranks.
  // REQUIRES: input.count == size() * output.count; output does not overlap input, or is exactly
  // input's own block.
  void ReduceScatter(tensor::ConstView input, tensor::View output, ReduceOp op, Order order,
                     tensor::Stream& stream);

  // `output` becomes all ranks' inputs in rank order. Any dtype. REQUIRES: output.count == size() *
  // input.count; no overlap, or input is exactly output's own block.
  void AllGather(tensor::ConstView input, tensor::View output, tensor::Stream& stream);

  // Everybody gets root's buffer. Any dtype.
  void Broadcast(tensor::View buffer, int root, tensor::Stream& stream);

  void Barrier();

  // Host-side conveniences over the above, for control (counts may differ by rank).
  std::vector<std::string> AllGatherText(const std::string& text);
  std::string BroadcastText(const std::string& text, int root);
  // True on all ranks when `mine` is true on any.
  bool AnyOf(bool mine);

  const Traffic& traffic() const { return traffic_; }

 protected:
  Communicator(std::string name, int rank, int size)
      : name_(std::move(name)), rank_(rank), size_(size) {}

  virtual void DoAllReduce(tensor::View buffer, ReduceOp op, Order order,
                           tensor::Stream& stream) = 0;
  virtual void DoReduceScatter(tensor::ConstView input, tensor::View output, ReduceOp op,
                               Order order, tensor::Stream& stream) = 0;
  virtual void DoAllGather(tensor::ConstView input, tensor::View output,
                           tensor::Stream& stream) = 0;
  virtual void DoBroadcast(tensor::View buffer, int root, tensor::Stream& stream) = 0;
  virtual void DoBarrier() = 0;

  void CountReceived(core::Bytes bytes) {
    traffic_.received_bytes += static_cast<uint64_t>(bytes.value);
  }

 private:
  std::string name_;
  int rank_;
  int size_;
  Traffic traffic_;
};

}  // namespace moat::comm
