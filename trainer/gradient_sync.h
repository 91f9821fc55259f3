// GradientSync: from the gradients of single micro-batches to their sum over the global batch, in
// canonical order, or in whatever order is fastest.
//
// The gradients live in one flat buffer, the model's. On this rank micro-batches of one way are
// added up there; finished ways are combined in the binary tree of parallel/canonical_ways.h, with
// at most log2(ways of this rank) subtree sums waiting. Finish() goes on up the same tree over the
// data group. Sums are bitwise equal for every dp that divides the ways.
//
// Memory: the subtree sums, each as large as the gradients. Received bytes: (dp-1)/dp gradients a
// step where every rank wants its own parts (ZeRO), twice that where all want all, as in a ring.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/communicator.h"
#include "parallel/bucket_plan.h"
#include "parallel/canonical_ways.h"
#include "tensor/ops.h"

namespace moat::trainer {

class GradientSync {
 public:
  // Collective over `data`: proves that all ranks cut the same buckets in the same order
  // (BugError). `gradients` [plan.padded()]. `order` kTree with canonical ways; kAny with fast
  // ones. `sharded`: a rank gets the sums of its own parts only.
  GradientSync(tensor::View gradients, int parameters, const parallel::BucketPlan& plan,
               bool sharded, const parallel::CanonicalWays& ways, comm::Order order,
               comm::Communicator& data);

  // Whether the micro-batch about to run adds to what is in the buffer (or replaces it).
  bool accumulates() const { return micro_batch_ % ways_.micro_batches_per_way() != 0; }

  // The backward pass of the current micro-batch has completed this parameter's gradient. This
  // inline reference sends nothing before Finish().
  void OnGradReady(int parameter);
  // The current micro-batch is done. REQUIRES: each parameter was announced once.
  void FinishMicroBatch(tensor::Stream& stream);
  // Collective: the buffer becomes the sum over all ranks (sharded: of this rank's parts; the rest
  // is of no use). REQUIRES: all of this rank's micro-batches are done.
  void Finish(tensor::Stream& stream);

 private:
  tensor::View gradients_;
  int parameters_;
  parallel::BucketPlan plan_;
  bool sharded_;
  parallel::CanonicalWays ways_;
  comm::Order order_;
  comm::Communicator& data_;
  std::vector<tensor::Tensor> waiting_;  // subtree sums, planned once
  size_t waiting_count_ = 0;
  int64_t micro_batch_ = 0;  // of this rank, in this step
  int announced_ = 0;
};

}  // namespace moat::trainer
