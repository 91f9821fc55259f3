// What a run would need, by its flags alone: memory of a rank on every grid, work, time, bytes.
//
// Goals: the same sums as the run's own (model/architecture/memory_plan.h), on a machine that has
// no GPU, MPI or data. Not goals: measuring anything; time comes from a peak and an assumed share
// of it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "configs/plan_config.h"
#include "core/device_kind.h"
#include "core/units.h"
#include "launch/placement.h"
#include "model/architecture/memory_plan.h"
#include "parallel/canonical_ways.h"

namespace moat::launch {

// One way to lay the run over its ranks.
struct GridPlan {
  int dp = 1, tp = 1;
  int zero = 0;              // 0 where there is one data rank
  std::string refused;       // why the run cannot have it; "": it can, and what follows holds
  model::MemoryPlan memory;  // of one rank, on its device (model::OnDevice)
  std::optional<bool> fits;  // where the device's memory is known
};

struct PlannedTime {
  double peak = 0;  // FLOP/s of one device
  double step_seconds = 0;
  double tokens_per_second = 0;
  double total_seconds = 0;  // of --steps, without evaluations and saves
};

struct RunPlan {
  configs::PlanConfig config;  // with vocab_size and dp filled in
  Placement place;
  core::DeviceKind device = core::DeviceKind::kCpu;
  std::vector<std::string> assumptions;  // made where the flags do not say, one sentence each

  int64_t parameters = 0;
  int64_t in_products = 0;
  parallel::CanonicalWays ways;
  model::MemoryOptions options;              // what a rank of the asked grid plans with
  model::MemoryPlan memory;                  // by them, snapshot included: what the run writes down
  std::optional<core::Bytes> device_memory;  // of one GPU, or of a node where CPUs compute
  int sharers = 1;                           // ranks that it is for
  std::optional<core::Bytes> room;           // a rank's share of it, less kReserve
  std::vector<GridPlan> grids;  // of as many ranks, most data ranks first; the asked one is there
  size_t asked = 0;             // its place

  double flops_per_token = 0;
  int64_t tokens_per_step = 0;
  std::optional<PlannedTime> time;
  std::string no_time;  // why there is none

  core::Bytes checkpoint;        // weights and moments of one
  int64_t checkpoints_kept = 0;  // at most: newest, best, milestones, one that is being written
  core::Bytes data_received;     // by a rank in a step, over its data group
  core::Bytes tensor_received;   // and over its tensor group

  const GridPlan& asked_grid() const { return grids[asked]; }
  bool fits() const { return asked_grid().fits.value_or(true); }
};

// Of a device's (a node's) memory, left to driver, libraries, program and data.
inline constexpr core::Bytes kReserve{int64_t{1} << 30};

// Of the data sets, `vocabulary` is known where they could be looked at; `cores` are this node's.
// Throws ConfigError where the sizes of the run do not fit each other.
RunPlan PlanRun(configs::PlanConfig config, std::optional<int64_t> vocabulary, int cores);

// "model: ...", "grid: ...", "memory per rank: ...", and what is assumed.
std::vector<std::string> Summary(const RunPlan& plan);

std::string ToText(const RunPlan& plan);
std::string ToJson(const RunPlan& plan);

}  // namespace moat::launch
