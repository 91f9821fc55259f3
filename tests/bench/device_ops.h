// Rates of a device's ops at the sizes of GPT-2 124M and Llama 1.24B, beside what the device does
// at its best in the same run.
#pragma once

#include <string>

#include "core/device_kind.h"

namespace moat::bench {

struct DeviceOpsOptions {
  core::DeviceKind device = core::DeviceKind::kCuda;
  bool tiny = false;    // sizes that anything can do, to see that it works
  double seconds = 60;  // no new op is measured after so long
  std::string json;     // a file that JSON lines are appended to; "": none
  std::string only;     // ops whose name contains this
};

// Prints a table in Markdown: a row per op with bytes, FLOPs, rates, and the larger of its shares
// of the two ceilings, the rate of a copy within the device and that of the best matrix product.
void BenchDeviceOps(const DeviceOpsOptions& options);

}  // namespace moat::bench
