// Bytes moved over the tensor axis.
#include "model/architecture/tensor_traffic.h"

namespace moat::model {

TensorTraffic TrafficOfMicroBatch(const configs::ModelConfig& c, const PlanOptions& o) {
  configs::ValidateTensorSplit(c, o.tp, o.sequence_parallel);
  TensorTraffic traffic;
  if (o.tp == 1) return traffic;
  constexpr int64_t kF32 = 4;
  const int64_t tp = o.tp, slots = o.rows * c.seq_len, stream = slots * c.width;
  const auto scatter = [](int64_t bytes, int64_t ranks) { return bytes / ranks * (ranks - 1); };
  // Two a layer and pass; the embedding forward, the output backward.
  const int64_t sums = 4 * c.layers + 2;
  int64_t group = kLossStatistics * kF32 * slots * (tp - 1);
  if (o.sequence_parallel) {
    // What is gathered: the inputs of two products a layer and of the output, forward; the former
    // again, two gradients a layer and the embedding's, backward.
    const int64_t gathers = 6 * c.layers + 2;
    const int64_t norms = 2 * c.layers + 1;
    const bool bias = c.bias && c.norm == configs::Norm::kLayer;
    group += sums * scatter(stream * kF32, tp) + gathers * scatter(stream * SizeOf(o.dtype), tp) +
             norms * 2 * scatter((bias ? 2 : 1) * c.width * kF32, tp);
  } else {
    group += sums * 2 * scatter(stream * kF32, tp);
  }
  traffic.group = core::Bytes(group);
  const int64_t copies = tp / c.kv_heads;
  if (copies > 1) {
    const int64_t rows = 2 * c.head_width();  // of one key and one value head
    const int64_t weights = scatter(rows * c.width * kF32, copies);
    const int64_t biases = c.bias ? scatter(rows * kF32, copies) : 0;
    traffic.copies = core::Bytes(c.layers * 2 * (weights + biases));
  }
  return traffic;
}

}  // namespace moat::model
