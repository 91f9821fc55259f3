// The table of data sheets: the first name that is part of the device's counts, so longer ones come
// first.
#include "core/device_sheet.h"

namespace moat::core {
namespace {

constexpr DeviceSheet Sheet(const char* hardware, const char* name, double teraflops, int64_t mib,
                            int capability) {
  return {hardware, name, teraflops * 1e12, Bytes(mib << 20), capability};
}

// Peaks: data sheets of each product; where they give a figure with sparsity only, half of it.
// Memory: the least total that nvidia-smi shows for the product (in MiB), ECC on. Compute
// capability: NVIDIA's list of CUDA GPUs.
constexpr DeviceSheet kSheets[] = {
    Sheet("h200-nvl", "H200 NVL", 835.5, 143771, 90),
    Sheet("h200", "H200", 989.4, 143771, 90),
    Sheet("h100-pcie", "H100 PCIe", 756.5, 81559, 90),
    Sheet("h100-nvl", "H100 NVL", 835.5, 95830, 90),
    Sheet("h100", "H100", 989.4, 81559, 90),
    Sheet("h800", "H800", 989.4, 81559, 90),
    Sheet("h20", "H20", 148, 97871, 90),
    Sheet("a100-40gb", "A100-SXM4-40GB", 311.9, 40536, 80),
    Sheet("a100", "A100", 311.9, 81251, 80),
    Sheet("a800", "A800", 311.9, 81251, 80),
    Sheet("a30", "A30", 165, 24258, 80),
    Sheet("a40", "A40", 149.7, 46068, 86),
    Sheet("l40s", "L40S", 362, 46068, 89),
    Sheet("l40", "L40", 181, 46068, 89),
    Sheet("l4", "L4", 121, 23034, 89),
};

}  // namespace

std::span<const DeviceSheet> DeviceSheets() { return kSheets; }

const DeviceSheet* FindDeviceSheet(const std::string& hardware) {
  for (const DeviceSheet& sheet : kSheets) {
    if (hardware == sheet.hardware) return &sheet;
  }
  return nullptr;
}

double DenseBf16Peak(const std::string& name) {
  for (const DeviceSheet& sheet : kSheets) {
    if (name.find(sheet.name) != std::string::npos) return sheet.bf16_flops;
  }
  return 0;
}

}  // namespace moat::core
