// Does a rank's plan fit into its device, and if not, what takes the memory and which flag helps?
#pragma once

#include <string>
#include <vector>

#include "configs/model_config.h"
#include "core/error.h"
#include "core/units.h"
#include "model/architecture/memory_plan.h"

namespace moat::model {

// What lies on the device: all of the plan but the snapshot, which is the host's where the device
// is not a CPU.
MemoryOptions OnDevice(MemoryOptions plan);

// A flag that makes a plan smaller.
struct MemoryHelp {
  std::string flag;    // "--micro_batch=4"
  core::Bytes needed;  // with it
};

// What would make less of what a plan puts on the device, the flag that saves most first; empty:
// none does.
std::vector<MemoryHelp> WhatHelps(const configs::ModelConfig& model, const MemoryOptions& plan);

// What is said of a plan that needs more than `free` on its device: whose tensors, on which device,
// the parts by name, and the flags that save, the one that saves most first.
struct MisfitWords {
  std::string tensors;  // "the tensors of rank 1"
  std::string device;   // "its device"
  std::string shared;   // after what is free: " for each of the 2 ranks on it"
};
std::string MisfitText(const configs::ModelConfig& model, const MemoryOptions& plan,
                       core::Bytes free, const MisfitWords& words);

// Throws OutOfMemoryError when what `plan` puts on the device (all but the snapshot, which is the
// host's) is more than `free`.
void CheckFits(const configs::ModelConfig& model, const MemoryOptions& plan, core::Bytes free);

// The error of memory that ran out under way, with what the plan says took it, and the flags that
// save as above: libraries take more than is planned, and so may others on the device.
core::OutOfMemoryError WithPlan(const core::OutOfMemoryError& error,
                                const configs::ModelConfig& model, const MemoryOptions& plan);

}  // namespace moat::model
