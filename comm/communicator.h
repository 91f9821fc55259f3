// Communicator: what a group of ranks does together.
//
// Every public collective checks its arguments (dtype, counts, roots, device), returns at once in a
// group of one where nothing is to be done, registers with the deadline keeper (comm/deadline.h)
// and calls the backend's Do...(). It is ordered on the stream it is given and returns when
// enqueued; CPU backends finish before they return.
//
// All ranks of a group call the same collectives in the same order with the same counts and dtypes;
// where they do not, every rank throws core::BugError with what each of them called. A rank that
// does not arrive within the deadline ends the job: every other rank throws core::PeerError naming
// group, operation, sequence number and the missing ranks. A group is of no use after either. No
// collective runs in a destructor. A communicator belongs to one thread at a time; another group
// may be used by another thread meanwhile, where concurrent() says so.
//
// Backends: self (size 1), threads (ranks are threads of one process; the readable reference), mpi
// (host memory), nccl and staged (memory of devices; host memory goes through the group they are
// made from).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/deadline.h"
#include "comm/reduce_op.h"
#include "rundir/board.h"
#include "tensor/stream.h"
#include "tensor/tensor.h"

namespace moat::comm {

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
  const std::vector<Member>& members() const { return keeper_.members(); }

  // May this group's collectives run while another thread is in those of another group?
  virtual bool concurrent() const { return true; }

  // Must work of no other group be on the device while this one's is? So it is with NCCL, whose
  // kernels wait there for their peers: those of two groups on two streams may hold each other up
  // for ever, where ranks start them in different orders.
  virtual bool alone_on_device() const { return false; }

  // Gives the group up: a collective of this rank that waits throws PeerError soon, in whatever
  // thread it is, and none of its work stays on a device. From any thread.
  virtual void Abandon() { keeper_.Abandon(); }

  // How long a rank waits for its peers in one step of a collective; 300 s unless set. Groups made
  // afterwards inherit it.
  void SetDeadline(double seconds) { keeper_.set_seconds(seconds); }
  double deadline() const { return keeper_.seconds(); }

  // From now on this group's collectives are shown on the rank's board, which outlives them. Groups
  // made afterwards inherit it. A group of one has nothing to show.
  void ShowOn(rundir::BoardWriter* board);

  // A group of some of this group's ranks, in the order given, which becomes their numbering.
  // Collective: every rank of this group calls it with the ranks of its own new group (so that one
  // call cuts the group into several). REQUIRES: `ranks` are distinct and hold rank().
  std::unique_ptr<Communicator> Group(const std::string& name, const std::vector<int>& ranks);

  // In place: buffer becomes the reduction of all ranks' buffers. dtypes: f32, f64, u64, i64 (bf16
  // sums are not offered: gradients are f32). Received bytes: at most 2 x (size-1)/size x the
  // buffer (reduce-scatter plus all-gather), up to the rounding of ranks' blocks to 16 elements.
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

  // For ranks that waited elsewhere, on a device, in vain: throws PeerError with the ranks that do
  // not come to this. One that calls something else meanwhile throws PeerError as well, as do all
  // then. The group is of no use afterwards.
  void RollCall();

  // Returns when all that was given to `stream` is done, this group's collectives included, and
  // those of groups that were made from it. Unlike the stream's own Synchronize() it does not wait
  // for ever for a peer that died under way: then it throws PeerError at the deadline, and what
  // waits for that peer leaves the device.
  void Finish(tensor::Stream& stream) { DoFinish(stream); }

  // Host-side conveniences over the above, for control (counts may differ by rank).
  std::vector<std::string> AllGatherText(const std::string& text);
  std::string BroadcastText(const std::string& text, int root);
  // True on all ranks when `mine` is true on any.
  bool AnyOf(bool mine);

  const Traffic& traffic() const { return traffic_; }
  // What this rank's process shows of the group's buffers, once they have been used.
  virtual core::Bytes buffer_bytes() const { return {}; }

 protected:
  // `members` are the group's ranks in order, as people know them.
  Communicator(std::string name, int rank, std::vector<Member> members);

  // Called for groups of two and more only, with arguments that were checked, inside
  // keeper().Begin() and End().

  virtual void DoAllReduce(tensor::View buffer, ReduceOp op, Order order,
                           tensor::Stream& stream) = 0;
  virtual void DoReduceScatter(tensor::ConstView input, tensor::View output, ReduceOp op,
                               Order order, tensor::Stream& stream) = 0;
  virtual void DoAllGather(tensor::ConstView input, tensor::View output,
                           tensor::Stream& stream) = 0;
  virtual void DoBroadcast(tensor::View buffer, int root, tensor::Stream& stream) = 0;
  virtual void DoBarrier() = 0;
  virtual void DoFinish(tensor::Stream& stream) { stream.Synchronize(); }  // any size of group
  virtual std::unique_ptr<Communicator> DoGroup(const std::string& name,
                                                const std::vector<int>& ranks) = 0;

  DeadlineKeeper& keeper() { return keeper_; }

  void CountReceived(core::Bytes bytes) {
    traffic_.received_bytes += static_cast<uint64_t>(bytes.value);
  }

 private:
  template <typename Body>
  void Run(const Call& call, const Body& body);

  std::string name_;
  int rank_;
  int size_;
  DeadlineKeeper keeper_;
  Traffic traffic_;
  rundir::BoardWriter* board_ = nullptr;
  int board_group_ = -1;
};

}  // namespace moat::comm
