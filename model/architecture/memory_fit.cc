// The plan against the device, and against plans with one flag changed.
#include "model/architecture/memory_fit.h"

#include <algorithm>
#include <optional>

namespace moat::model {
namespace {

// Can a model be computed like this at all?
bool Possible(const configs::ModelConfig& model, const PlanOptions& passes) {
  try {
    PlanActivations(model, passes);
    return true;
  } catch (const core::ConfigError&) {
    return false;
  }
}

// Which flags make the plan smaller, and whether it then fits, where `free` is known.
std::string HelpsText(const configs::ModelConfig& model, const MemoryOptions& options,
                      std::optional<core::Bytes> free) {
  std::string helps;
  for (const MemoryHelp& help : WhatHelps(model, options)) {
    helps += (helps.empty() ? "" : ", ") + help.flag + " would make it " +
             core::Format(help.needed) +
             (free && help.needed.value <= free->value ? " (it fits)" : "");
  }
  return helps.empty() ? "use a smaller model or --seq_len" : helps;
}

}  // namespace

MemoryOptions OnDevice(MemoryOptions plan) {
  if (plan.passes.device != core::DeviceKind::kCpu) plan.snapshots = false;
  return plan;
}

std::vector<MemoryHelp> WhatHelps(const configs::ModelConfig& model, const MemoryOptions& plan) {
  const MemoryOptions options = OnDevice(plan);
  const core::Bytes needed = PlanMemory(model, options).total;
  std::vector<MemoryHelp> helps;
  const auto add = [&](const std::string& flag, const MemoryOptions& changed) {
    const core::Bytes with = PlanMemory(model, changed).total;
    if (with < needed) helps.push_back({flag, with});
  };
  if (options.passes.rows > 1) {
    MemoryOptions fewer = options;
    fewer.passes.rows /= 2;
    add("--micro_batch=" + std::to_string(fewer.passes.rows), fewer);
  }
  if (options.passes.recompute != configs::Recompute::kBlock) {
    MemoryOptions again = options;
    again.passes.recompute = configs::Recompute::kBlock;
    add("--recompute=block", again);
  }
  if (options.waiting_sums > 0) {  // one way a rank, which is summed as it comes
    MemoryOptions single = options;
    single.waiting_sums = 0;
    add("--canonical_ways=" + std::to_string(options.dp), single);
  }
  if (!options.sharded && options.dp > 1) {
    MemoryOptions shared = options;
    shared.sharded = true;
    add("--zero=1", shared);
  }
  MemoryOptions wider = options;
  wider.passes.tp *= 2;
  wider.tp_index = 0;
  if (Possible(model, wider.passes)) add("--tp=" + std::to_string(wider.passes.tp), wider);
  std::sort(helps.begin(), helps.end(),
            [](const MemoryHelp& a, const MemoryHelp& b) { return a.needed < b.needed; });
  return helps;
}

std::string MisfitText(const configs::ModelConfig& model, const MemoryOptions& plan,
                       core::Bytes free, const MisfitWords& words) {
  const MemoryPlan on_device = PlanMemory(model, OnDevice(plan));
  return words.tensors + " need " + core::Format(on_device.total) + " on " + words.device +
         ", which has " + core::Format(free) + " free" + words.shared + ": " + on_device.text() +
         "; " + HelpsText(model, plan, free);
}

void CheckFits(const configs::ModelConfig& model, const MemoryOptions& plan, core::Bytes free) {
  if (PlanMemory(model, OnDevice(plan)).total <= free) return;
  throw core::OutOfMemoryError(
      "it does not fit: " + MisfitText(model, plan, free, {"a rank's tensors", "its device", ""}));
}

core::OutOfMemoryError WithPlan(const core::OutOfMemoryError& error,
                                const configs::ModelConfig& model, const MemoryOptions& plan) {
  const MemoryOptions options = OnDevice(plan);
  const MemoryPlan planned = PlanMemory(model, options);
  return core::OutOfMemoryError(std::string(error.what()) + "; this rank's tensors take " +
                                    core::Format(planned.total) + ": " + planned.text() + "; " +
                                    HelpsText(model, options, {}),
                                error.failed());
}

}  // namespace moat::model
