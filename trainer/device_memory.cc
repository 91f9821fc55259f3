// The plan against the device, and against plans with one flag changed.
#include "trainer/device_memory.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "tensor/device.h"

namespace moat::trainer {
namespace {

struct Help {
  std::string flag;
  core::Bytes needed;  // with it
};

// Can a model be computed like this at all?
bool Possible(const configs::ModelConfig& model, const model::PlanOptions& passes) {
  try {
    model::PlanActivations(model, passes);
    return true;
  } catch (const core::ConfigError&) {
    return false;
  }
}

std::vector<Help> WhatHelps(const configs::ModelConfig& model,
                            const model::MemoryOptions& options) {
  std::vector<Help> helps;
  const auto add = [&](const std::string& flag, const model::MemoryOptions& changed) {
    helps.push_back({flag, model::PlanMemory(model, changed).total});
  };
  if (options.passes.rows > 1) {
    model::MemoryOptions fewer = options;
    fewer.passes.rows /= 2;
    add("--micro_batch=" + std::to_string(fewer.passes.rows), fewer);
  }
  if (options.passes.recompute != configs::Recompute::kBlock) {
    model::MemoryOptions again = options;
    again.passes.recompute = configs::Recompute::kBlock;
    add("--recompute=block", again);
  }
  if (!options.sharded && options.dp > 1) {
    model::MemoryOptions shared = options;
    shared.sharded = true;
    add("--zero=1", shared);
  }
  model::MemoryOptions wider = options;
  wider.passes.tp *= 2;
  wider.tp_index = 0;
  if (Possible(model, wider.passes)) add("--tp=" + std::to_string(wider.passes.tp), wider);
  std::sort(helps.begin(), helps.end(),
            [](const Help& a, const Help& b) { return a.needed.value < b.needed.value; });
  return helps;
}

// What lies on the device: snapshots are the host's.
model::MemoryOptions OnDevice(model::MemoryOptions plan) {
  if (plan.passes.device != core::DeviceKind::kCpu) plan.snapshots = false;
  return plan;
}

// Which flags make the plan smaller, and whether it then fits, where `free` is known.
std::string HelpsText(const configs::ModelConfig& model, const model::MemoryOptions& options,
                      core::Bytes needed, std::optional<core::Bytes> free) {
  std::string helps;
  for (const Help& help : WhatHelps(model, options)) {
    if (help.needed.value >= needed.value) continue;
    helps += (helps.empty() ? "" : ", ") + help.flag + " would make it " +
             core::Format(help.needed) +
             (free && help.needed.value <= free->value ? " (it fits)" : "");
  }
  return helps.empty() ? "use a smaller model or --seq_len" : helps;
}

}  // namespace

void CheckFits(const configs::ModelConfig& model, const model::MemoryOptions& plan,
               core::Bytes free) {
  const model::MemoryOptions options = OnDevice(plan);
  const model::MemoryPlan on_device = model::PlanMemory(model, options);
  if (on_device.total.value <= free.value) return;
  throw core::OutOfMemoryError("out of memory: this rank's tensors need " +
                               core::Format(on_device.total) + " on its device, which has " +
                               core::Format(free) + " free: " + on_device.text() + "; " +
                               HelpsText(model, options, on_device.total, free));
}

core::OutOfMemoryError WithPlan(const core::OutOfMemoryError& error,
                                const configs::ModelConfig& model,
                                const model::MemoryOptions& plan) {
  const model::MemoryOptions options = OnDevice(plan);
  const model::MemoryPlan planned = model::PlanMemory(model, options);
  return core::OutOfMemoryError(std::string(error.what()) + "; this rank's tensors take " +
                                core::Format(planned.total) + ": " + planned.text() + "; " +
                                HelpsText(model, options, planned.total, {}));
}

DeviceMemory::DeviceMemory(core::DeviceKind device) : device_(device) {
  if (device_ != core::DeviceKind::kCpu) room_ = tensor::DeviceOf(device_).free_memory();
}

core::Bytes DeviceMemory::Peak() {
  if (room_.value == 0) return {};
  const core::Bytes taken(room_.value - tensor::DeviceOf(device_).free_memory().value);
  if (taken.value > peak_.value) peak_ = taken;
  return peak_;
}

}  // namespace moat::trainer
