// The sums of a plan.
#include "launch/run_plan.h"

#include <algorithm>

#include "configs/import_config.h"
#include "core/device_sheet.h"
#include "core/error.h"
#include "model/architecture/architecture.h"
#include "model/architecture/data_traffic.h"
#include "model/architecture/memory_fit.h"
#include "model/architecture/tensor_traffic.h"

namespace moat::launch {
namespace {

void FillVocabulary(std::optional<int64_t> vocabulary, RunPlan* plan) {
  int64_t& vocab_size = plan->config.launch.train.model.vocab_size;
  if (vocab_size != 0) return;
  vocab_size = vocabulary.value_or(configs::ImportConfig().vocab_size);
  if (vocabulary) return;
  const std::vector<std::string>& data = plan->config.launch.train.data;
  plan->assumptions.push_back(
      "a vocabulary of " + std::to_string(vocab_size) + ", as moat data import makes them" +
      (data.empty() ? "" : ", since there is no data set in " + data.front()) +
      "; --data=DIR or --vocab_size=N says what it is");
}

// Threads count where CPUs compute: they need scratch memory each.
model::RankPlace FillPlace(int cores, RunPlan* plan) {
  configs::TrainConfig& train = plan->config.launch.train;
  if (train.dp == -1 && plan->config.launch.ranks_per_node == 0 &&
      plan->config.launch.slurm.gpus_per_node == 0) {
    plan->assumptions.push_back("one data rank, as moat launch starts it; --dp=N says how many");
  }
  plan->place = Place(plan->config.launch);
  train.dp = plan->place.dp;
  const auto device = configs::DeviceOf(plan->config);
  if (!device) {
    plan->assumptions.push_back(
        "ranks compute on CPUs; --device=cuda, or --hardware=NAME of moat plan, says otherwise");
  }
  plan->device = device.value_or(core::DeviceKind::kCpu);
  int threads = train.threads;
  if (threads == 0) {
    threads = std::max(1, cores / plan->place.ranks_per_node);
    if (plan->device == core::DeviceKind::kCpu) {
      plan->assumptions.push_back("--threads=" + std::to_string(threads) +
                                  ", by the cores of this machine");
    }
  }
  return {train.dp, train.tp, 0, threads, plan->device};
}

void FillRoom(RunPlan* plan) {
  const configs::PlanConfig& config = plan->config;
  const int ranks = plan->place.ranks_per_node, gpus = config.launch.slurm.gpus_per_node;
  if (plan->device == core::DeviceKind::kCpu) {
    plan->sharers = ranks;
  } else if (gpus > 0) {
    plan->sharers = (ranks + gpus - 1) / gpus;
  }
  const core::DeviceSheet* const sheet = core::FindDeviceSheet(config.hardware);
  if (config.device_memory > 0) {
    plan->device_memory = core::Bytes(static_cast<int64_t>(config.device_memory * (1 << 30)));
  } else if (sheet != nullptr) {
    plan->device_memory = sheet->memory;
  } else {
    return;
  }
  const core::Bytes left = *plan->device_memory - kReserve;
  plan->room = core::Bytes(std::max<int64_t>(0, left.value) / plan->sharers);
}

// The first tensor rank holds as much as any: rows that do not divide go to the first ones.
GridPlan GridOf(const RunPlan& plan, model::RankPlace place, int zero) {
  configs::TrainConfig train = plan.config.launch.train;
  train.dp = place.dp;
  train.tp = place.tp;
  train.zero = zero;
  GridPlan grid{place.dp, place.tp, configs::Sharded(train, place.dp) ? 1 : 0, "", {}, {}};
  try {
    configs::Validate(train);
    grid.memory =
        model::PlanMemory(train.model, model::OnDevice(model::MemoryOptionsOf(train, place)));
    if (plan.room) grid.fits = grid.memory.total <= *plan.room;
  } catch (const core::ConfigError& error) {
    grid.refused = error.what();
  }
  return grid;
}

// A tensor group stays within a node.
void FillGrids(const model::RankPlace& place, RunPlan* plan) {
  const configs::TrainConfig& train = plan->config.launch.train;
  for (int tp = 1; tp <= plan->place.ranks_per_node; ++tp) {
    if (plan->place.ranks_per_node % tp != 0) continue;
    model::RankPlace other = place;
    other.tp = tp;
    other.dp = plan->place.ranks() / tp;
    for (const int zero : {1, 0}) {
      if (zero == 1 && other.dp == 1) continue;
      if (tp == train.tp && (other.dp == 1 || zero == train.zero)) plan->asked = plan->grids.size();
      plan->grids.push_back(GridOf(*plan, other, zero));
      if (!plan->grids.back().refused.empty()) break;  // with the other --zero, too
    }
  }
}

void FillTime(RunPlan* plan) {
  const configs::TrainConfig& train = plan->config.launch.train;
  plan->flops_per_token = model::FlopsPerToken(train.model);
  plan->tokens_per_step = train.global_batch * train.model.seq_len;
  const core::DeviceSheet* const sheet = core::FindDeviceSheet(plan->config.hardware);
  PlannedTime time;
  if (plan->device == core::DeviceKind::kCpu) {
    plan->no_time = "peaks are of GPUs, and ranks compute on CPUs; see --hardware";
    return;
  }
  if (train.peak_tflops > 0) {
    time.peak = train.peak_tflops * 1e12;
  } else if (sheet == nullptr) {
    plan->no_time = "no peak is known: --hardware=NAME or --peak_tflops=N says it";
    return;
  } else if (train.dtype != core::DType::kBF16) {
    plan->no_time = "peaks are known of bf16, and this run is in " +
                    std::string(core::Name(train.dtype)) + ": --peak_tflops=N says it";
    return;
  } else {
    time.peak = sheet->bf16_flops;
  }
  const double rate = time.peak * plan->config.utilization * plan->place.ranks() / plan->sharers;
  time.tokens_per_second = rate / plan->flops_per_token;
  time.step_seconds = static_cast<double>(plan->tokens_per_step) / time.tokens_per_second;
  time.total_seconds = time.step_seconds * static_cast<double>(train.steps);
  plan->time = time;
}

void FillBytes(RunPlan* plan) {
  const configs::TrainConfig& train = plan->config.launch.train;
  constexpr int64_t kWeightAndMoments = 3;
  plan->checkpoint =
      core::Bytes(plan->parameters * kWeightAndMoments * core::SizeOf(core::DType::kF32));
  const auto every = [&](int64_t steps) { return steps > 0 ? train.steps / steps : 0; };
  const auto saved = [&](int64_t step) {
    return (train.checkpoint_every > 0 && step % train.checkpoint_every == 0) ||
           (train.eval_every > 0 && step % train.eval_every == 0);
  };
  int64_t milestones = 0;  // of the steps that are saved at all
  for (int64_t step = train.keep_every; step > 0 && step <= train.steps; step += train.keep_every) {
    milestones += saved(step) ? 1 : 0;
  }
  constexpr int64_t kBestAndInFlight = 2, kLast = 1;
  plan->checkpoints_kept =
      std::min(train.keep_checkpoints + milestones + kBestAndInFlight,
               every(train.checkpoint_every) + every(train.eval_every) + kLast);
  plan->data_received = model::DataTrafficOfStep(train.model, plan->options);
  const model::TensorTraffic traffic =
      model::TrafficOfMicroBatch(train.model, plan->options.passes);
  plan->tensor_received =
      core::Bytes((traffic.group + traffic.copies).value * plan->ways.micro_batches_per_rank());
}

}  // namespace

RunPlan PlanRun(configs::PlanConfig config, std::optional<int64_t> vocabulary, int cores) {
  RunPlan plan;
  plan.config = std::move(config);
  FillVocabulary(vocabulary, &plan);
  const model::RankPlace place = FillPlace(cores, &plan);
  const configs::TrainConfig& train = plan.config.launch.train;
  configs::Validate(train);  // what only now is known: the vocabulary's split, the batch's
  plan.ways =
      parallel::MakeWays(train.reduction == configs::Reduction::kCanonical, train.global_batch,
                         train.micro_batch, train.dp, train.canonical_ways);
  plan.parameters = model::ParameterCount(train.model);
  plan.in_products = model::ProductParameterCount(train.model);
  plan.options = model::MemoryOptionsOf(train, place);
  plan.memory = model::PlanMemory(train.model, plan.options);
  FillRoom(&plan);
  FillGrids(place, &plan);
  FillTime(&plan);
  FillBytes(&plan);
  return plan;
}

}  // namespace moat::launch
