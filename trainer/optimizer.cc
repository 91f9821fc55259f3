// AdamW over the model's parameters.
#include "trainer/optimizer.h"

#include <algorithm>
#include <cmath>

#include "core/clock.h"
#include "core/error.h"

namespace moat::trainer {
namespace {

std::vector<parallel::Slice> LocalSlices(const model::Transformer& model) {
  std::vector<parallel::Slice> slices;
  for (int p = 0; p < static_cast<int>(model.parameters().size()); ++p) {
    slices.push_back(model.slice(p));
  }
  return slices;
}

// What an unsharded rank holds: one bucket, so that each parameter is one part.
parallel::BucketPlan WholePlan(int64_t elements) {
  return {elements, 1, parallel::kOptimizerBlock, std::max<int64_t>(1, elements)};
}

}  // namespace

model::TransformerOptions ModelOptions(const configs::TrainConfig& config, int dp,
                                       comm::Communicator* tensor) {
  model::TransformerOptions options;
  options.max_rows = config.micro_batch;
  options.dtype = config.dtype;
  options.matmul_dtype = config.matmul_dtype;
  options.tensor = tensor;
  options.sequence_parallel = config.sequence_parallel;
  options.recompute = config.recompute;
  // In f32 the passes read the master weights, so every rank has them.
  options.with_master_weights = !Sharded(config, dp) || config.dtype == core::DType::kF32;
  options.flat_multiple = dp * parallel::kOptimizerBlock;
  return options;
}

Optimizer::Optimizer(const configs::TrainConfig& config, model::Transformer& model,
                     comm::Communicator& data, tensor::Stream& stream)
    : config_(config),
      model_(model),
      data_(data),
      stream_(stream),
      plan_(model.layout().back().end(), data.size()),
      sharded_(Sharded(config, data.size())),
      squares_(model.parameters().size()),
      updated_(stream.device()) {
  MOAT_CHECK(model.pass_weights().count == plan_.padded(), "flat buffers with room for the plan");
  int64_t blocks = 0;
  for (const parallel::FlatRange& range : model.layout()) {
    first_block_.push_back(blocks);
    if (range.count == 0) continue;
    blocks += (range.end() - 1) / plan_.block() - range.begin / plan_.block() + 1;
  }
  const core::DeviceKind device = stream.device();
  device_squares_ = tensor::Tensor(blocks, core::DType::kF64, device);
  block_squares_.emplace(device_squares_.view().bytes(), device);

  const auto ranges =
      OptimizerRange(LocalSlices(model), sharded_ ? plan_ : WholePlan(plan_.elements()),
                     sharded_ ? data.rank() : 0);
  int64_t elements = 0;
  for (const parallel::OptimizerPart& range : ranges) elements += range.end - range.begin;
  if (model.weights().empty()) master_ = tensor::Tensor(elements, core::DType::kF32, device);
  moment1_ = tensor::Tensor(elements, core::DType::kF32, device);
  moment2_ = tensor::Tensor(elements, core::DType::kF32, device);
  int64_t at = 0;
  for (const parallel::OptimizerPart& range : ranges) {
    held_.push_back(PartAt(range, at));
    at += range.end - range.begin;
  }
  if (sharded_ && config.overlap == configs::OverlapMode::kOn) {
    for (int i = 0; i < plan_.count(); ++i) gathered_.emplace_back(device);
    queue_ = std::make_unique<core::JobQueue>();
    // A device's stream is made by the thread that uses it.
    queue_->Add([this] { gather_stream_ = std::make_unique<tensor::Stream>(stream_.Beside()); });
    queue_->Wait();
    model_.SetOnWeightsNeeded([this](int64_t end) { WaitForWeightsBefore(end); });
  }
}

Optimizer::~Optimizer() {
  if (!queue_) return;
  model_.SetOnWeightsNeeded({});
  if (!queue_->idle()) data_.Abandon();  // peers are not waited for
}

OptimizedPart Optimizer::PartAt(const parallel::OptimizerPart& range, int64_t kept_at) {
  const int64_t count = range.end - range.begin;
  const tensor::View weight = model_.weights().empty() ? master_.view().Range(kept_at, count)
                                                       : model_.weights().Range(range.flat, count);
  return {range, weight, moment1_.view().Range(kept_at, count),
          moment2_.view().Range(kept_at, count)};
}

std::vector<OptimizedPart> Optimizer::Owned() const {
  if (sharded_) return held_;
  std::vector<OptimizedPart> owned;
  for (const auto& range : OptimizerRange(LocalSlices(model_), plan_, data_.rank())) {
    // Unsharded, a part of `held_` is a whole parameter (or there is none of it).
    const auto whole = std::find_if(held_.begin(), held_.end(), [&](const OptimizedPart& part) {
      return part.range.parameter == range.parameter;
    });
    const int64_t count = range.end - range.begin;
    owned.push_back({range, whole->weight.Range(range.begin, count),
                     whole->moment1.Range(range.begin, count),
                     whole->moment2.Range(range.begin, count)});
  }
  return owned;
}

void Optimizer::InitializeWeights(uint64_t seed) {
  for (const OptimizedPart& part : held_) {
    int64_t at = 0;
    for (const parallel::Slice& slice : part.range.slices) {
      model::InitialValues(model_.parameters()[static_cast<size_t>(part.range.parameter)], slice,
                           seed, part.weight.Range(at, slice.elements()), stream_);
      at += slice.elements();
    }
  }
  PublishWeights();
}

void Optimizer::PublishWeights() {
  const tensor::View rounded = model_.rounded_weights();
  for (const OptimizedPart& part : held_) {
    if (rounded.empty()) break;
    tensor::Cast(part.weight, rounded.Range(part.range.flat, part.weight.count), stream_);
  }
  GatherWeights();
  WaitForWeights();
}

double Optimizer::GradientNorm() {
  for (const OptimizedPart& part : held_) {
    const auto p = static_cast<size_t>(part.range.parameter);
    const int64_t begin = part.range.flat, end = begin + part.weight.count;
    const int64_t block = begin / plan_.block();
    const int64_t first = first_block_[p] + block - model_.layout()[p].begin / plan_.block();
    tensor::SumsOfSquares(
        model_.gradients().Range(begin, end - begin), plan_.block(), begin % plan_.block(),
        device_squares_.view().Range(first, (end - 1) / plan_.block() - block + 1), stream_);
  }
  const int64_t blocks = device_squares_.count();
  const tensor::View all = block_squares_->view(blocks, core::DType::kF64);
  tensor::Copy(device_squares_.view(), all, stream_);
  data_.Finish(stream_);
  // Every block is of one rank, and stays zero on the others: adding zeros keeps its bits.
  tensor::Stream host;
  if (sharded_) data_.AllReduce(all, comm::ReduceOp::kSum, comm::Order::kTree, host);
  for (size_t p = 0; p < squares_.size(); ++p) {
    // What several tensor ranks hold counts once.
    const bool counts = model_.FirstOfCopies(static_cast<int>(p));
    const int64_t end = p + 1 < squares_.size() ? first_block_[p + 1] : blocks;
    squares_[p] = 0;
    for (int64_t b = first_block_[p]; counts && b < end; ++b) {
      squares_[p] += all.as<double>()[b];
    }
  }
  model_.axis().SumInPlace(tensor::HostView(squares_.data(), static_cast<int64_t>(squares_.size())),
                           host);
  double sum = 0;
  for (const double square : squares_) sum += square;
  return std::sqrt(sum);
}

void Optimizer::Update(double learning_rate, double gradient_scale) {
  ++updates_;
  const auto t = static_cast<double>(updates_);
  tensor::AdamWStep step{};
  step.learning_rate = static_cast<float>(learning_rate);
  step.beta1 = static_cast<float>(config_.beta1);
  step.beta2 = static_cast<float>(config_.beta2);
  step.epsilon = static_cast<float>(config_.adam_epsilon);
  step.correction1 = static_cast<float>(1 - std::pow(config_.beta1, t));
  step.correction2 = static_cast<float>(1 - std::pow(config_.beta2, t));
  step.gradient_scale = static_cast<float>(gradient_scale);
  const tensor::View rounded = model_.rounded_weights();
  for (const OptimizedPart& part : held_) {
    const auto p = static_cast<size_t>(part.range.parameter);
    const int64_t begin = part.range.flat, count = part.weight.count;
    step.weight_decay =
        model_.parameters()[p].decays ? static_cast<float>(config_.weight_decay) : 0.0f;
    tensor::AdamW(step, model_.gradients().Range(begin, count), part.moment1, part.moment2,
                  part.weight, rounded.empty() ? rounded : rounded.Range(begin, count), stream_);
  }
}

void Optimizer::GatherBucket(int bucket, tensor::Stream& stream) {
  const tensor::View weights = model_.pass_weights();
  const parallel::FlatRange whole = plan_.bucket(bucket), mine = plan_.part(bucket, data_.rank());
  data_.AllGather(weights.Range(mine.begin, mine.count), weights.Range(whole.begin, whole.count),
                  stream);
}

void Optimizer::GatherWeights() {
  if (!sharded_) return;
  WaitForWeights();
  updated_.Record(stream_);
  for (int i = 0; i < plan_.count(); ++i) {  // as the forward pass reads them
    if (queue_) {
      gathers_given_ = queue_->Add([this, i] {
        if (i == 0) updated_.Wait(*gather_stream_);
        GatherBucket(i, *gather_stream_);
        gathered_[static_cast<size_t>(i)].Record(*gather_stream_);
        if (i + 1 == plan_.count()) data_.Finish(*gather_stream_);
      });
    } else {
      GatherBucket(i, stream_);
    }
  }
  // Else the next pass's wait, which knows nothing of this group, would be for ever where a peer
  // dies now.
  if (!queue_) data_.Finish(stream_);
}

void Optimizer::WaitForWeights() { WaitForWeightsBefore(plan_.padded()); }

void Optimizer::WaitForWeightsBefore(int64_t end) {
  if (!queue_ || gathers_given_ == 0) return;
  const double start = core::MonotonicSeconds();
  int buckets = 0;
  while (buckets < plan_.count() && plan_.bucket(buckets).begin < end) ++buckets;
  queue_->WaitFor(gathers_given_ - plan_.count() + buckets);
  if (buckets > 0) gathered_[static_cast<size_t>(buckets) - 1].Wait(stream_);
  waited_ += core::MonotonicSeconds() - start;
}

}  // namespace moat::trainer
