// Gradient sums over micro-batches and ranks.
#include "trainer/gradient_sync.h"

#include "core/digest.h"

namespace moat::trainer {

GradientSync::GradientSync(tensor::View gradients, int parameters, const parallel::BucketPlan& plan,
                           bool sharded, const parallel::CanonicalWays& ways, comm::Order order,
                           comm::Communicator& data)
    : gradients_(gradients),
      parameters_(parameters),
      plan_(plan),
      sharded_(sharded),
      ways_(ways),
      order_(order),
      data_(data) {
  MOAT_CHECK(ways.dp == data.size() && plan.dp() == data.size(), "ways of another grid");
  MOAT_CHECK(gradients.count == plan.padded(), "gradients with room for the plan");
  for (int i = 0; i < ways.partial_sums(); ++i)
    waiting_.emplace_back(gradients.count, core::DType::kF32);
  std::string text;
  for (const int64_t number :
       {plan.elements(), plan.padded(), plan.bucket(0).count, plan.block(), int64_t{parameters},
        int64_t{ways.ways}, ways.micro_batches, int64_t{sharded}, static_cast<int64_t>(order)}) {
    text += std::to_string(number) + "/";
  }
  const std::string mine = core::Hex(core::Sha256Of(text));
  const auto plans = data.AllGatherText(mine);
  for (size_t rank = 0; rank < plans.size(); ++rank) {
    MOAT_CHECK(plans[rank] == mine,
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
  for (int i = plan_.count() - 1; i >= 0; --i) {  // as the backward pass completes them
    const parallel::FlatRange bucket = plan_.bucket(i);
    const tensor::View whole = gradients_.Range(bucket.begin, bucket.count);
    if (sharded_) {
      const parallel::FlatRange part = plan_.part(i, data_.rank());
      data_.ReduceScatter(whole, gradients_.Range(part.begin, part.count), comm::ReduceOp::kSum,
                          order_, stream);
    } else {
      data_.AllReduce(whole, comm::ReduceOp::kSum, order_, stream);
    }
  }
}

}  // namespace moat::trainer
