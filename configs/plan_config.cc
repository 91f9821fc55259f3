// What a plan may be, and how flags say it.
#include "configs/plan_config.h"

#include <vector>

#include "configs/bounds.h"
#include "configs/command_line.h"
#include "core/device_sheet.h"
#include "core/nearest.h"

namespace moat::configs {
namespace {

constexpr const char* kCpu = "cpu";

std::vector<std::string> KnownHardware() {
  std::vector<std::string> names = {kCpu};
  for (const core::DeviceSheet& sheet : core::DeviceSheets()) names.emplace_back(sheet.hardware);
  return names;
}

}  // namespace

std::string HardwareNames() {
  std::string text;
  for (const std::string& name : KnownHardware()) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::optional<core::DeviceKind> DeviceOf(const PlanConfig& config) {
  const std::string& device = config.launch.train.device;
  if (device == "cpu" || config.hardware == kCpu) return core::DeviceKind::kCpu;
  const bool gpus = !config.hardware.empty() || config.launch.slurm.gpus_per_node > 0;
  if (device == "cuda" || gpus) return core::DeviceKind::kCuda;
  return std::nullopt;
}

void Validate(const PlanConfig& config) {
  const std::string& hardware = config.hardware;
  if (!hardware.empty() && hardware != kCpu && core::FindDeviceSheet(hardware) == nullptr) {
    const std::string nearest = core::NearestName(hardware, KnownHardware());
    Expected("hardware", hardware,
             "one of " + HardwareNames() +
                 (nearest.empty()
                      ? "; --device=cuda --device_memory=GIB --peak_tflops=N describe another GPU"
                      : "; did you mean " + nearest + "?"));
  }
  const std::string& device = config.launch.train.device;
  if ((device == "cuda" && hardware == kCpu) ||
      (device == "cpu" && !hardware.empty() && hardware != kCpu)) {
    throw core::ConfigError("--device=" + device + " with --hardware=" + hardware +
                            ": leave one of them out");
  }
  constexpr int kFloat8 = 89;
  const core::DeviceSheet* const sheet = core::FindDeviceSheet(hardware);
  if (sheet != nullptr && config.launch.train.matmul_dtype == MatmulDType::kFp8 &&
      sheet->capability < kFloat8) {
    throw core::ConfigError("--matmul_dtype=fp8 with --hardware=" + hardware +
                            ": FP8 products need compute capability 8.9, and it has " +
                            std::to_string(sheet->capability / 10) + "." +
                            std::to_string(sheet->capability % 10) + "; leave one of them out");
  }
  AtLeast("nodes", config.launch.nodes, 1);
  AtLeast("ranks_per_node", config.launch.ranks_per_node, 0);
  AtLeast("gpus_per_node", config.launch.slurm.gpus_per_node, 0);
  Number("device_memory", config.device_memory, config.device_memory >= 0, "GiB, or 0");
  Number("utilization", config.utilization, config.utilization > 0 && config.utilization <= 1,
         "a share in (0, 1]");
}

PlanConfig PlanConfigFromFlags(const CommandLine& line) {
  PlanConfig plan;
  plan.launch.train = TrainConfigFromFlags(line, Completeness::kAnyRun);
  plan.launch.nodes = static_cast<int>(line.Int("nodes"));
  plan.launch.ranks_per_node = static_cast<int>(line.Int("ranks_per_node"));
  plan.launch.slurm.gpus_per_node = static_cast<int>(line.Int("gpus_per_node"));
  plan.hardware = line.value("hardware");
  plan.device_memory = line.Double("device_memory");
  plan.utilization = line.Double("utilization");
  plan.json = line.Bool("json");
  Validate(plan);
  return plan;
}

}  // namespace moat::configs
