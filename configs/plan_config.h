// What `moat plan` plans: a run, where its ranks are, and what devices they have.
#pragma once

#include <optional>
#include <string>

#include "configs/launch_config.h"
#include "core/device_kind.h"

namespace moat::configs {

struct PlanConfig {
  // The run and its grid: train (run and data may be missing), nodes, ranks_per_node and
  // slurm.gpus_per_node. Nothing else is looked at.
  LaunchConfig launch;
  std::string hardware;      // "cpu", a name of core/device_sheet.h, or "": not said
  double device_memory = 0;  // GiB of one GPU, or of a node where ranks compute on CPUs; 0: as the
                             // data sheet of `hardware` says
  double utilization = 0.4;  // share of the peak that is assumed, in (0, 1]
  bool json = false;
};

// "cpu, h200, ...": what `hardware` may be.
std::string HardwareNames();

// Throws ConfigError for a hardware that is not known, with the nearest name, or that is not
// --device's.
void Validate(const PlanConfig& config);

// What the ranks compute on, where --device, --hardware or --gpus_per_node say it.
std::optional<core::DeviceKind> DeviceOf(const PlanConfig& config);

}  // namespace moat::configs
