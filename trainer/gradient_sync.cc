// Gradient sums over micro-batches and ranks.
#include "trainer/gradient_sync.h"

#include <algorithm>

#include "core/digest.h"

namespace moat::trainer {

GradientSync::GradientSync(tensor::View gradients, int parameters,
                           const parallel::CanonicalWays& ways, comm::Order order,
                           comm::Communicator& data)
    : gradients_(gradients), parameters_(parameters), ways_(ways), order_(order), data_(data) {
  MOAT_CHECK(ways.dp == data.size(), "ways of another grid");
  for (int i = 0; i < ways.partial_sums(); ++i)
    waiting_.emplace_back(gradients.count, core::DType::kF32);
  const std::string plan = core::Hex(core::Sha256Of(
      std::to_string(gradients.count) + "/" + std::to_string(kBucketElements) + "/" +
      std::to_string(parameters) + "/" + std::to_string(ways.ways) + "/" +
      std::to_string(ways.micro_batches) + "/" + std::to_string(static_cast<int>(order))));
  const auto plans = data.AllGatherText(plan);
  for (size_t rank = 0; rank < plans.size(); ++rank) {
    MOAT_CHECK(plans[rank] == plan,
               "data rank " + std::to_string(rank) + " has another bucket plan than this one");
  }
}

void GradientSync::OnGradReady(int parameter) {
  MOAT_CHECK(parameter >= 0 && parameter < parameters_, "no such parameter");
  ++announced_;
}

void GradientSync::FinishMicroBatch(tensor::Stream& stream) {
  MOAT_CHECK(announced_ == parameters_, "a parameter's gradient was not announced, or twice");
  announced_ = 0;
  ++micro_batch_;
  if (micro_batch_ % ways_.micro_batches_per_way() != 0) return;
  const auto way = static_cast<int>(micro_batch_ / ways_.micro_batches_per_way()) - 1;
  for (int merge = 0; merge < parallel::CanonicalWays::MergesAfter(way); ++merge) {
    tensor::Add(waiting_[--waiting_count_].view(), gradients_, stream);
  }
  if (way + 1 < ways_.ways_per_rank())
    tensor::Copy(gradients_, waiting_[waiting_count_++].view(), stream);
}

void GradientSync::Finish(tensor::Stream& stream) {
  MOAT_CHECK(micro_batch_ == ways_.micro_batches_per_rank() && waiting_count_ == 0,
             "micro-batches are missing");
  micro_batch_ = 0;
  for (int64_t end = gradients_.count; end > 0; end -= kBucketElements) {
    const int64_t begin = std::max<int64_t>(0, end - kBucketElements);
    data_.AllReduce(gradients_.Range(begin, end - begin), comm::ReduceOp::kSum, order_, stream);
  }
}

}  // namespace moat::trainer
