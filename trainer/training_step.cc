// One training step.
#include "trainer/training_step.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "core/clock.h"
#include "core/error.h"
#include "tensor/profiler.h"
#include "trainer/micro_batch.h"
#include "trainer/schedule.h"

namespace moat::trainer {
namespace {

constexpr size_t kPerMicroBatch = 2;  // weighted loss, weight
constexpr size_t kPerRank = 3;        // content hash (as bits), stop code, how far a save is

SyncOptions SyncOptionsOf(const configs::TrainConfig& config, const Optimizer& optimizer) {
  return {config.reduction == configs::Reduction::kFast ? comm::Order::kAny : comm::Order::kTree,
          optimizer.sharded(),
          config.overlap == configs::OverlapMode::kOn ? Overlap::kBackward : Overlap::kNone};
}

}  // namespace

TrainingStep::TrainingStep(const configs::TrainConfig& config, const parallel::CanonicalWays& ways,
                           model::Transformer& model, Optimizer& optimizer,
                           const RankGroups& groups, tensor::Stream& stream)
    : config_(config),
      ways_(ways),
      model_(model),
      optimizer_(optimizer),
      groups_(groups),
      stream_(stream),
      sync_(model.gradients(), model.layout(), optimizer.plan(), ways,
            SyncOptionsOf(config, optimizer), groups.data),
      sums_begin_(stream.device()),
      sums_end_(stream.device()),
      mine_(static_cast<size_t>(ways.micro_batches_per_rank()) * kPerMicroBatch + kPerRank),
      all_(mine_.size() * static_cast<size_t>(groups.world.size())) {}

StepResult TrainingStep::Run(int64_t step, const std::function<data::Batch()>& next,
                             const std::function<ControlWords()>& say) {
  try {
    return Step(step, next, say);
  } catch (...) {
    GiveUp();
    throw;
  }
}

void TrainingStep::GiveUp() {
  groups_.data.Abandon();
  groups_.tensor.Abandon();
  comm::Communicator& group = groups_.data.size() > 1 ? groups_.data : groups_.tensor;
  try {
    group.Finish(stream_);
  } catch (const core::Error&) {  // as it was given up; what is on the stream has run out
  }
}

StepResult TrainingStep::Step(int64_t step, const std::function<data::Batch()>& next,
                              const std::function<ControlWords()>& say) {
  StepResult result;
  const double waited = optimizer_.waited_seconds();
  for (int64_t i = 0; i < ways_.micro_batches_per_rank(); ++i) {
    const tensor::ProfilerRange range("micro-batch");
    const data::Batch batch = next();
    const model::LossSums sums =
        model_.ForwardBackward(ViewOf(batch), config_.seed, step, sync_.accumulates(),
                               [&](int parameter) { sync_.OnGradReady(parameter, stream_); });
    sync_.FinishMicroBatch(stream_);
    mine_[static_cast<size_t>(i) * kPerMicroBatch] = sums.weighted_loss;
    mine_[static_cast<size_t>(i) * kPerMicroBatch + 1] = sums.weight;
    result.fed += batch.content_hash;
  }
  result.communication_seconds = optimizer_.waited_seconds() - waited;
  sums_begin_.Record(stream_);
  GatherScalars(result, say());
  sync_.Finish(stream_);
  sums_end_.Record(stream_);
  // The one wait for the device since the losses, with the groups' deadline.
  const double norm = result.weight > 0 ? optimizer_.GradientNorm() : 0;
  if (result.weight == 0) groups_.data.Finish(stream_);
  result.communication_seconds += sums_end_.SecondsSince(sums_begin_);
  if (result.weight == 0) return result;

  result.grad_norm = norm / result.weight;
  if (!std::isfinite(result.loss) || !std::isfinite(result.grad_norm)) {
    throw core::NumericsError(
        "step " + std::to_string(step) + ": the loss is " + std::to_string(result.loss) +
        " and the gradient's norm " + std::to_string(result.grad_norm) +
        "; the update was not applied; resume from the last checkpoint with a lower --lr, a longer "
        "--warmup or a smaller --clip");
  }
  const tensor::ProfilerRange range("update");
  const double clipped =
      config_.clip > 0 && result.grad_norm > config_.clip ? config_.clip / result.grad_norm : 1.0;
  result.learning_rate = LearningRate(config_, step);
  optimizer_.Update(result.learning_rate, clipped / result.weight);
  const double updated = core::MonotonicSeconds();
  optimizer_.GatherWeights();
  result.communication_seconds += core::MonotonicSeconds() - updated;
  return result;
}

// Every rank gets every micro-batch's sums and adds them in order of micro-batches: the same bits
// everywhere, for any dp. Ranks of one tensor group have the same sums, the first one's count; each
// may have heard another signal.
void TrainingStep::GatherScalars(StepResult& result, const ControlWords& mine) {
  double* const said = mine_.data() + mine_.size() - kPerRank;
  said[0] = std::bit_cast<double>(result.fed);
  said[1] = mine.stop_code;
  said[2] = static_cast<double>(mine.save);
  tensor::Stream host;
  groups_.world.AllGather(
      tensor::HostView(std::as_const(mine_).data(), static_cast<int64_t>(mine_.size())),
      tensor::HostView(all_.data(), static_cast<int64_t>(all_.size())), host);
  result.fed = 0;
  result.least_saved = checkpoint::SaveProgress::kFailed;
  double weighted_loss = 0;
  for (size_t rank = 0; rank < static_cast<size_t>(groups_.world.size()); ++rank) {
    const double* from = all_.data() + rank * mine_.size();
    const double* const theirs = from + mine_.size() - kPerRank;
    const auto save = static_cast<checkpoint::SaveProgress>(theirs[2]);
    result.stop_code = std::max(result.stop_code, static_cast<int>(theirs[1]));
    result.least_saved = std::min(result.least_saved, save);
    result.most_saved = std::max(result.most_saved, save);
    if (rank % static_cast<size_t>(groups_.tensor.size()) != 0) continue;
    for (; from < theirs; from += kPerMicroBatch) {
      weighted_loss += from[0];
      result.weight += from[1];
    }
    result.fed += std::bit_cast<uint64_t>(theirs[0]);
  }
  result.loss = result.weight > 0 ? weighted_loss / result.weight : 0;
}

}  // namespace moat::trainer
