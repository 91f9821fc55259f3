// What devices are sold with, by their data sheets: to compare a run with, and to plan one by.
#pragma once

#include <span>
#include <string>

#include "core/units.h"

namespace moat::core {

struct DeviceSheet {
  const char* hardware;  // as people name it: "h100"
  const char* name;      // part of what the device calls itself: "H100"
  double bf16_flops;     // FLOP/s of dense bf16 products with f32 sums, without sparsity
  Bytes memory;          // all of it, as the driver reports it
  int capability;        // compute capability, 90 for 9.0
};

std::span<const DeviceSheet> DeviceSheets();

// Of the device that people name so; nullptr: not in the table.
const DeviceSheet* FindDeviceSheet(const std::string& hardware);

// bf16_flops of the device that calls itself `name`; 0: not in the table.
double DenseBf16Peak(const std::string& name);

}  // namespace moat::core
