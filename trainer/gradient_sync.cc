// Gradient sums over micro-batches and ranks.
#include "trainer/gradient_sync.h"

#include <algorithm>

#include "core/digest.h"
#include "tensor/host_stretches.h"

namespace moat::trainer {
namespace {

// What every data rank must have alike, as text.
std::string PlanText(const parallel::BucketPlan& plan, const parallel::CanonicalWays& ways,
                     const std::vector<parallel::FlatRange>& layout, const SyncOptions& options) {
  std::vector<int64_t> numbers = {plan.elements(),
                                  plan.padded(),
                                  plan.count(),
                                  plan.block(),
                                  ways.ways,
                                  ways.micro_batches,
                                  int64_t{options.sharded},
                                  static_cast<int64_t>(options.order)};
  for (const parallel::FlatRange& range : layout) numbers.push_back(range.begin);
  std::string text;
  for (const int64_t number : numbers) text += std::to_string(number) + "/";
  return text;
}

void CheckSamePlan(const std::string& mine, comm::Communicator& data) {
  const auto plans = data.AllGatherText(core::Hex(core::Sha256Of(mine)));
  for (size_t rank = 0; rank < plans.size(); ++rank) {
    MOAT_CHECK(plans[rank] == plans[static_cast<size_t>(data.rank())],
               "data rank " + std::to_string(rank) + " has another bucket plan than this one");
  }
}

// All elements become `value`; waits for it.
void Fill(tensor::View view, float value, tensor::Stream& stream) {
  constexpr int64_t kMost = 1 << 18;
  const std::vector<float> values(static_cast<size_t>(std::min(kMost, view.count)), value);
  for (int64_t at = 0; at < view.count; at += kMost) {
    const int64_t n = std::min(kMost, view.count - at);
    tensor::Copy(tensor::HostView(values.data(), n), view.Range(at, n), stream);
  }
  stream.Synchronize();
}

}  // namespace

configs::OverlapMode ResolveOverlap(configs::OverlapMode asked, bool core_to_spare,
                                    const comm::Communicator& data,
                                    const comm::Communicator& tensor) {
  using Mode = configs::OverlapMode;
  if (asked == Mode::kOn && !data.concurrent()) {
    throw core::ConfigError(
        "--overlap=on needs an MPI with MPI_THREAD_MULTIPLE between nodes, which this one does not "
        "offer; use --overlap=auto");
  }
  const bool held_up = data.alone_on_device() && data.size() > 1 && tensor.size() > 1;
  if (asked == Mode::kOn && held_up) {
    throw core::ConfigError(
        "--overlap=on with --tp=" + std::to_string(tensor.size()) +
        " would have two groups of NCCL at work on a device at once, which may hold each other up "
        "for ever; use --overlap=auto");
  }
  if (asked != Mode::kAuto) return asked;
  return core_to_spare && data.concurrent() && !held_up ? Mode::kOn : Mode::kOff;
}

GradientSync::GradientSync(tensor::View gradients, const std::vector<parallel::FlatRange>& layout,
                           const parallel::BucketPlan& plan, const parallel::CanonicalWays& ways,
                           const SyncOptions& options, comm::Communicator& data)
    : gradients_(gradients),
      layout_(layout),
      plan_(plan),
      ways_(ways),
      options_(options),
      data_(data),
      announced_(layout.size()),
      buckets_(layout.size()),
      parameters_in_(static_cast<size_t>(plan.count())),
      next_(plan.count() - 1),
      reduced_(gradients.device) {
  MOAT_CHECK(ways.dp == data.size() && plan.dp() == data.size(), "ways of another grid");
  MOAT_CHECK(gradients.count == plan.padded(), "gradients with room for the plan");
  for (int i = 0; i < plan.count(); ++i) {
    const parallel::FlatRange bucket = plan.bucket(i);
    for (size_t p = 0; p < layout.size(); ++p) {
      if (layout[p].begin >= bucket.end() || layout[p].end() <= bucket.begin) continue;
      buckets_[p].push_back(i);
      ++parameters_in_[static_cast<size_t>(i)];
    }
  }
  to_come_ = parameters_in_;
  for (int i = 0; i < ways.partial_sums(); ++i) {
    waiting_.emplace_back(gradients.count, core::DType::kF32, gradients.device);
  }
  CheckSamePlan(PlanText(plan, ways, layout, options), data);
  if (options.overlap == Overlap::kBackward && data.size() > 1) {
    for (int i = 0; i < plan.count(); ++i) complete_.emplace_back(gradients.device);
    queue_ = std::make_unique<core::JobQueue>();
  }
}

GradientSync::~GradientSync() {
  if (queue_ && !queue_->idle()) data_.Abandon();  // peers are not waited for
}

void GradientSync::Prove(tensor::Stream& stream) {
  Fill(gradients_, -1.0f, stream);
  for (int64_t i = 1; i <= ways_.micro_batches_per_rank(); ++i) {
    const bool way_ends = i % ways_.micro_batches_per_way() == 0;
    for (size_t p = layout_.size(); p-- > 0;) {
      if (way_ends) Fill(gradients_.Range(layout_[p].begin, layout_[p].count), 1.0f, stream);
      OnGradReady(static_cast<int>(p), stream);
    }
    FinishMicroBatch(stream);
  }
  Finish(stream);
  data_.Finish(stream);  // within its deadline; the copies below wait without one
  const auto expected = static_cast<float>(ways_.ways);
  for (int bucket = 0; bucket < plan_.count(); ++bucket) {
    const parallel::FlatRange mine =
        options_.sharded ? plan_.part(bucket, data_.rank()) : plan_.bucket(bucket);
    int64_t e = mine.begin;
    const tensor::View sums =
        gradients_.Range(e, std::max(e, std::min(mine.end(), plan_.elements())) - e);
    const auto check = [&](const char* bytes, int64_t count) {
      const auto* const values = reinterpret_cast<const float*>(bytes);
      for (int64_t i = 0; i < count / int64_t{sizeof(float)}; ++i, ++e) {
        MOAT_CHECK(values[i] == expected, "a gradient of ones in " + std::to_string(ways_.ways) +
                                              " ways adds up to " + std::to_string(values[i]) +
                                              " in bucket " + std::to_string(bucket) +
                                              ", element " + std::to_string(e));
      }
    };
    tensor::ForEachHostStretch(sums, tensor::kHostStretchBytes, &stream, check);
  }
}

void GradientSync::OnGradReady(int parameter, tensor::Stream& stream) {
  const auto p = static_cast<size_t>(parameter);
  MOAT_CHECK(parameter >= 0 && p < announced_.size(), "no such parameter");
  MOAT_CHECK(!announced_[p], "a parameter's gradient was announced twice");
  announced_[p] = true;
  if (!queue_ || !InLastMicroBatch()) return;
  for (const int bucket : buckets_[p]) --to_come_[static_cast<size_t>(bucket)];
  SendCompleteBuckets(stream);
}

// In one order on all ranks, whatever order they are completed in.
void GradientSync::SendCompleteBuckets(tensor::Stream& stream) {
  if (!stream_) StartThread(stream);
  for (; next_ >= 0 && to_come_[static_cast<size_t>(next_)] == 0; --next_) {
    tensor::Event& complete = complete_[static_cast<size_t>(next_)];
    complete.Record(stream);
    queue_->Add([this, &complete, bucket = next_] {
      complete.Wait(*stream_);
      Merge(ways_.ways_per_rank() - 1, plan_.bucket(bucket), *stream_);
      Reduce(bucket, *stream_);
      if (bucket == 0) reduced_.Record(*stream_);
    });
  }
}

// A device's stream is made by the thread that uses it.
void GradientSync::StartThread(const tensor::Stream& stream) {
  queue_->Add([&] { stream_ = std::make_unique<tensor::Stream>(stream.Beside()); });
  queue_->Wait();
}

// Combines what lies in the buffer, this rank's way `way` just finished, with the subtree sums that
// it completes.
void GradientSync::Merge(int way, parallel::FlatRange range, tensor::Stream& stream) {
  const int merges = parallel::CanonicalWays::MergesAfter(way);
  for (int merge = 0; merge < merges; ++merge) {
    tensor::Tensor& sum = waiting_[waiting_count_ - 1 - static_cast<size_t>(merge)];
    tensor::Add(sum.view().Range(range.begin, range.count),
                gradients_.Range(range.begin, range.count), stream);
  }
}

void GradientSync::Reduce(int bucket, tensor::Stream& stream) {
  const parallel::FlatRange range = plan_.bucket(bucket);
  const tensor::View whole = gradients_.Range(range.begin, range.count);
  if (options_.sharded) {
    const parallel::FlatRange part = plan_.part(bucket, data_.rank());
    data_.ReduceScatter(whole, gradients_.Range(part.begin, part.count), comm::ReduceOp::kSum,
                        options_.order, stream);
  } else {
    data_.AllReduce(whole, comm::ReduceOp::kSum, options_.order, stream);
  }
}

void GradientSync::FinishMicroBatch(tensor::Stream& stream) {
  MOAT_CHECK(std::find(announced_.begin(), announced_.end(), false) == announced_.end(),
             "a parameter's gradient was not announced");
  announced_.assign(announced_.size(), false);
  const bool on_their_way = queue_ && InLastMicroBatch();
  ++micro_batch_;
  if (on_their_way || micro_batch_ % ways_.micro_batches_per_way() != 0) return;
  const auto way = static_cast<int>(micro_batch_ / ways_.micro_batches_per_way()) - 1;
  Merge(way, {0, gradients_.count}, stream);
  waiting_count_ -= static_cast<size_t>(parallel::CanonicalWays::MergesAfter(way));
  if (way + 1 < ways_.ways_per_rank()) {
    tensor::Copy(gradients_, waiting_[waiting_count_++].view(), stream);
  }
}

void GradientSync::Finish(tensor::Stream& stream) {
  MOAT_CHECK(micro_batch_ == ways_.micro_batches_per_rank(), "micro-batches are missing");
  if (queue_) {
    queue_->Wait();
    reduced_.Wait(stream);
  } else {
    for (int i = plan_.count() - 1; i >= 0; --i) Reduce(i, stream);
  }
  next_ = plan_.count() - 1;
  to_come_ = parameters_in_;
  micro_batch_ = 0;
  waiting_count_ = 0;
}

}  // namespace moat::trainer
