// Memory of a rank in training.
#include "model/architecture/memory_plan.h"

#include "core/error.h"
#include "parallel/bucket_plan.h"
#include "parallel/canonical_ways.h"

namespace moat::model {

MemoryOptions MemoryOptionsOf(const configs::TrainConfig& config, const RankPlace& place) {
  const parallel::CanonicalWays ways =
      parallel::MakeWays(config.reduction == configs::Reduction::kCanonical, config.global_batch,
                         config.micro_batch, place.dp, config.canonical_ways);
  MemoryOptions options;
  options.passes = {config.micro_batch,       place.threads,    config.dtype, place.tp,
                    config.sequence_parallel, config.recompute, place.device, config.matmul_dtype};
  options.tp_index = place.tp_index;
  options.dp = place.dp;
  options.sharded = configs::Sharded(config, place.dp);
  options.waiting_sums = ways.partial_sums();
  options.snapshots = configs::CopiesForCheckpoints(config);
  return options;
}

core::Bytes MemoryPlan::of(const std::string& name) const {
  for (const MemoryItem& item : items) {
    if (item.name == name) return item.bytes;
  }
  throw core::BugError("no memory is planned for " + name);
}

std::string MemoryPlan::text() const {
  std::string text;
  for (const MemoryItem& item : items) {
    if (item.bytes.value > 0) text += item.name + " " + core::Format(item.bytes) + ", ";
  }
  return text + "together " + core::Format(total);
}

MemoryPlan PlanMemory(const configs::ModelConfig& config, const MemoryOptions& options) {
  const std::vector<FlatRange> layout =
      FlatLayout(ParameterTable(config), options.tp_index, options.passes.tp);
  const int64_t elements = layout.back().end();
  const int64_t padded = parallel::BucketPlan(elements, options.dp).padded();
  const int64_t held = options.sharded ? padded / options.dp : elements;
  const int64_t f32 = core::SizeOf(core::DType::kF32);
  const bool rounded = options.passes.dtype != core::DType::kF32;
  const bool master_with_optimizer = options.sharded && rounded;

  MemoryPlan plan;
  const auto add = [&](const std::string& name, int64_t bytes) {
    plan.items.push_back({name, core::Bytes(bytes)});
    plan.total = core::Bytes(plan.total.value + bytes);
  };
  add("weights", (rounded ? padded * core::SizeOf(options.passes.dtype) : 0) +
                     (master_with_optimizer ? 0 : padded * f32));
  add("gradients", padded * f32);
  add("optimizer", held * f32 * (master_with_optimizer ? 3 : 2));
  add("waiting sums", options.waiting_sums * padded * f32);
  // Weights and both moments of what it answers for among the data ranks.
  add("snapshot", options.snapshots ? padded / options.dp * 3 * f32 : 0);
  add("activations", PlanActivations(config, options.passes).total.value);
  return plan;
}

}  // namespace moat::model
