// The table of peaks: the first name that is part of the device's counts, so longer ones come
// first.
#include "tensor/device_peak.h"

namespace moat::tensor {
namespace {

struct Peak {
  const char* name;
  double teraflops;
};

// Data sheets of each product; where they give a figure with sparsity only, half of it.
constexpr Peak kPeaks[] = {
    {"H200 NVL", 835.5}, {"H200", 989.4}, {"H100 PCIe", 756.5}, {"H100 NVL", 835.5},
    {"H100", 989.4},     {"H800", 989.4}, {"H20", 148},         {"A100", 311.9},
    {"A800", 311.9},     {"A30", 165},    {"A40", 149.7},       {"L40S", 362},
    {"L40", 181},        {"L4", 121},
};

}  // namespace

double DenseBf16Peak(const std::string& name) {
  for (const Peak& peak : kPeaks) {
    if (name.find(peak.name) != std::string::npos) return peak.teraflops * 1e12;
  }
  return 0;
}

}  // namespace moat::tensor
