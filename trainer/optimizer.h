// AdamW over the model's parameters: owns the moments and, under ZeRO, this rank's part of the
// master weights; knows which parameters decay.
//
// --zero=0: every data rank holds all moments and updates all weights. --zero=1: each holds and
// updates its parts of the buckets (parallel/optimizer_range.h), and the ranks send one another the
// new weights, in the dtype of the passes. Weights have the same bits either way.
//
// All of it lies on the stream's device. Of what follows only GradientNorm() waits for the device.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "comm/communicator.h"
#include "configs/train_config.h"
#include "core/job_queue.h"
#include "model/transformer.h"
#include "parallel/bucket_plan.h"
#include "parallel/optimizer_range.h"
#include "tensor/event.h"
#include "tensor/host_buffer.h"

namespace moat::trainer {

// How a model must be made to be trained by `dp` data ranks and, together, the ranks of `tensor`.
model::TransformerOptions ModelOptions(const configs::TrainConfig& config, int dp,
                                       comm::Communicator* tensor);

// A piece of a parameter, and where its f32 state is kept; each [range.end - range.begin].
struct OptimizedPart {
  parallel::OptimizerPart range;
  tensor::View weight, moment1, moment2;
};

class Optimizer {
 public:
  // `data` are the ranks that hold the same parameters; config, model and data outlive this.
  // REQUIRES: the model was made with ModelOptions(config, data.size(), ...).
  Optimizer(const configs::TrainConfig& config, model::Transformer& model, comm::Communicator& data,
            tensor::Stream& stream);
  ~Optimizer();

  const parallel::BucketPlan& plan() const { return plan_; }
  tensor::Stream& stream() const { return stream_; }  // on which what is held changes
  bool sharded() const { return sharded_; }
  // What this rank holds and updates: everything, or its parts.
  const std::vector<OptimizedPart>& held() const { return held_; }
  // What it answers for among the data ranks, in checkpoints: its parts, sharded or not.
  std::vector<OptimizedPart> Owned() const;

  int64_t updates() const { return updates_; }  // done so far; skipped steps do not count
  void set_updates(int64_t updates) { updates_ = updates; }

  // Each weight depends on (seed, parameter name, global index) only. Collective over data.
  void InitializeWeights(uint64_t seed);
  // Whoever wrote the held parts' weights calls this: the passes read them afterwards. Collective
  // over data.
  void PublishWeights();

  // Norm of the whole model's gradients, of which the held parts are summed: sums of squares per
  // fixed block in f64, added up by parameter and over the tensor group, then in order of
  // parameters. Collective over data and tensor group; the same bits on every rank and for any dp.
  double GradientNorm();

  // One update of the held parts with every gradient multiplied by `gradient_scale` first.
  void Update(double learning_rate, double gradient_scale);
  // Sharded: everybody's updated weights to everybody. Collective over data. To follow Update().
  // With config.overlap kOn they travel in a thread and on a stream of their own while the next
  // forward pass begins, which waits for those it is about to read; whoever else reads them, or
  // uses the data group, calls WaitForWeights() first. They are there when this (without overlap)
  // or the wait returns; PeerError where that is not within the data group's deadline.
  void GatherWeights();
  void WaitForWeights();
  // How long a thread that had something to compute waited for weights so far.
  double waited_seconds() const { return waited_; }

 private:
  void GatherBucket(int bucket, tensor::Stream& stream);
  void WaitForWeightsBefore(int64_t end);
  OptimizedPart PartAt(const parallel::OptimizerPart& range, int64_t kept_at);

  const configs::TrainConfig& config_;
  model::Transformer& model_;
  comm::Communicator& data_;
  tensor::Stream& stream_;
  parallel::BucketPlan plan_;
  bool sharded_;
  tensor::Tensor master_, moment1_, moment2_;  // of the held parts, one after the other
  std::vector<OptimizedPart> held_;
  std::vector<int64_t> first_block_;                 // by parameter: of its sums in device_squares_
  tensor::Tensor device_squares_;                    // by block, where the gradients are
  std::optional<tensor::HostBuffer> block_squares_;  // the same on the host, f64
  std::vector<double> squares_;                      // by parameter
  int64_t updates_ = 0;
  double waited_ = 0;
  int64_t gathers_given_ = 0;                      // to the thread, so far
  std::unique_ptr<tensor::Stream> gather_stream_;  // the thread's
  tensor::Event updated_;                          // all weights are, on stream_
  std::vector<tensor::Event> gathered_;            // by bucket, on gather_stream_
  std::unique_ptr<core::JobQueue> queue_;          // last: its jobs use all of the above
};

}  // namespace moat::trainer
