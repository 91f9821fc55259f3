// One training step: micro-batches forward and backward, the gradients' sum, one update, decided by
// all ranks together.
#pragma once

#include <cstdint>
#include <functional>

#include "checkpoint/saver.h"
#include "comm/communicator.h"
#include "configs/train_config.h"
#include "data/batch.h"
#include "model/transformer.h"
#include "parallel/canonical_ways.h"
#include "tensor/event.h"
#include "trainer/gradient_sync.h"
#include "trainer/optimizer.h"
#include "trainer/rank_groups.h"

namespace moat::trainer {

// What a rank says to the others in a step, besides its sums.
struct ControlWords {
  int stop_code = 0;                                                // it has heard: 75, 78, or 0
  checkpoint::SaveProgress save = checkpoint::SaveProgress::kDone;  // of the save in flight
};

struct StepResult {
  double loss = 0;  // sum(w * l) / sum(w) over the global batch, nats; the same bits on every rank
  double weight = 0;     // sum(w); 0: nothing to learn, the update was skipped
  double grad_norm = 0;  // of the mean loss, before clipping
  double learning_rate = 0;
  uint64_t fed = 0;   // hash of what was fed to the embedding, over all ranks (data/batch.h)
  int stop_code = 0;  // the highest stop code any rank has heard: 75, 78, or 0
  checkpoint::SaveProgress least_saved{}, most_saved{};  // of what the ranks said of the save
  double communication_seconds = 0;  // that the device or this thread had nothing else to do
};

class TrainingStep {
 public:
  // config.overlap is resolved; whatever is not kOn is off.
  TrainingStep(const configs::TrainConfig& config, const parallel::CanonicalWays& ways,
               model::Transformer& model, Optimizer& optimizer, const RankGroups& groups,
               tensor::Stream& stream);

  // Collective, before the first step: GradientSync::Prove.
  void ProveSync() { sync_.Prove(stream_); }

  // Collective. Update number `step` (from 1). `next` gives this rank's micro-batches in order;
  // `say`, called once all are done, what it has to say. Throws NumericsError on all ranks when the
  // loss or the gradient is not finite: the update is not applied. Whatever it throws, the data and
  // tensor groups are given up then, so that no work of theirs stays on a device and the stream
  // runs out: memory that it copies from and to may be freed.
  StepResult Run(int64_t step, const std::function<data::Batch()>& next,
                 const std::function<ControlWords()>& say);

 private:
  StepResult Step(int64_t step, const std::function<data::Batch()>& next,
                  const std::function<ControlWords()>& say);
  void GiveUp();
  void GatherScalars(StepResult& result, const ControlWords& mine);

  const configs::TrainConfig& config_;
  parallel::CanonicalWays ways_;
  model::Transformer& model_;
  Optimizer& optimizer_;
  RankGroups groups_;
  tensor::Stream& stream_;
  GradientSync sync_;
  tensor::Event sums_begin_, sums_end_;  // of the gradients over ranks
  std::vector<double> mine_,
      all_;  // scalars of each micro-batch, then what the rank says: planned once
};

}  // namespace moat::trainer
