// GradientSync: from the gradients of single micro-batches to their sum over the global batch, in
// canonical order, or in whatever order is fastest.
//
// The gradients live in one flat buffer, the model's. On this rank micro-batches of one way are
// added up there; finished ways are combined in the binary tree of parallel/canonical_ways.h, with
// at most log2(ways of this rank) subtree sums waiting. Then they go on up the same tree over the
// data group, bucket by bucket, from the last one to the first, as the backward pass completes
// them. Sums are bitwise equal for every dp that divides the ways.
//
// Overlap::kNone is the reference: everything happens in Finish(). With Overlap::kBackward a bucket
// goes its way in a thread of its own as soon as the last micro-batch has completed it, while the
// backward pass goes on. Collectives, and bits, are the same.
//
// Everything lies on the gradients' device, and nothing waits for it: the thread works on a stream
// of its own, which waits for the event of a bucket's completion, as the pass's stream waits for
// the last sum.
//
// Memory: the subtree sums, each as large as the gradients. Received bytes: (dp-1)/dp gradients a
// step where every rank wants its own parts (ZeRO), twice that where all want all, as in a ring.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "comm/communicator.h"
#include "configs/train_config.h"
#include "core/job_queue.h"
#include "parallel/bucket_plan.h"
#include "parallel/canonical_ways.h"
#include "tensor/event.h"
#include "tensor/ops.h"

namespace moat::trainer {

enum class Overlap { kNone, kBackward };

// How gradients travel; the same on all ranks of a data group.
struct SyncOptions {
  comm::Order order = comm::Order::kTree;  // kAny with fast ways
  bool sharded = false;                    // a rank gets the sums of its own parts only
  Overlap overlap = Overlap::kNone;        // may differ by rank
};

// What --overlap means for a rank: kAuto becomes kOn where it has a `core_to_spare` for the thread
// and the data group may be used beside others, the tensor group among them. Throws ConfigError
// where kOn cannot be.
configs::OverlapMode ResolveOverlap(configs::OverlapMode asked, bool core_to_spare,
                                    const comm::Communicator& data,
                                    const comm::Communicator& tensor);

class GradientSync {
 public:
  // Collective over `data`: proves that all ranks cut the same buckets in the same order
  // (BugError). `gradients` [plan.padded()], the parameters' at `layout`.
  GradientSync(tensor::View gradients, const std::vector<parallel::FlatRange>& layout,
               const parallel::BucketPlan& plan, const parallel::CanonicalWays& ways,
               const SyncOptions& options, comm::Communicator& data);
  // In the middle of a step (something failed) it gives the data group up.
  ~GradientSync();

  // Collective: sends a gradient of ones through a whole step and finds in every element that is
  // this rank's the number of ways: each was added once, nothing was divided, no parameter was left
  // out of a bucket or sent too early. Throws BugError. Overwrites the buffer.
  void Prove(tensor::Stream& stream);

  // Whether the micro-batch about to run adds to what is in the buffer (or replaces it).
  bool accumulates() const { return micro_batch_ % ways_.micro_batches_per_way() != 0; }

  // The backward pass of the current micro-batch has completed this parameter's gradient, on
  // `stream`, which is the same one in all that follows.
  void OnGradReady(int parameter, tensor::Stream& stream);
  // The current micro-batch is done. REQUIRES: each parameter was announced once.
  void FinishMicroBatch(tensor::Stream& stream);
  // Collective: the buffer becomes the sum over all ranks (sharded: of this rank's parts; the rest
  // is of no use). REQUIRES: all of this rank's micro-batches are done.
  void Finish(tensor::Stream& stream);

 private:
  bool InLastMicroBatch() const { return micro_batch_ + 1 == ways_.micro_batches_per_rank(); }
  void SendCompleteBuckets(tensor::Stream& stream);
  void StartThread(const tensor::Stream& stream);
  void Merge(int way, parallel::FlatRange range, tensor::Stream& stream);
  void Reduce(int bucket, tensor::Stream& stream);

  tensor::View gradients_;
  std::vector<parallel::FlatRange> layout_;
  parallel::BucketPlan plan_;
  parallel::CanonicalWays ways_;
  SyncOptions options_;
  comm::Communicator& data_;
  std::vector<tensor::Tensor> waiting_;  // subtree sums, planned once
  size_t waiting_count_ = 0;
  int64_t micro_batch_ = 0;                   // of this rank, in this step
  std::vector<bool> announced_;               // by parameter, in this micro-batch
  std::vector<std::vector<int>> buckets_;     // by parameter: where it lies
  std::vector<int> parameters_in_, to_come_;  // by bucket: how many, and how many are incomplete
  int next_ = -1;                             // the bucket to be sent next
  std::unique_ptr<tensor::Stream> stream_;    // the thread's, with Overlap::kBackward
  std::vector<tensor::Event> complete_;       // by bucket, on the backward pass's stream
  tensor::Event reduced_;                     // the last bucket sent, on the thread's
  std::unique_ptr<core::JobQueue> queue_;     // last: its jobs use all of the above
};

}  // namespace moat::trainer
