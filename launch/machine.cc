// Reading /proc and /dev.
#include "launch/machine.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/host.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;

// "model name : X" of the first processor.
std::string FieldOf(const std::string& file, const std::string& name) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(name)) continue;
    const size_t value = line.find_first_not_of(" \t", line.find(':') + 1);
    return value == std::string::npos ? "" : line.substr(value);
  }
  return "";
}

core::Bytes MemoryField(const std::string& name) {  // "MemTotal:  1234 kB"
  std::istringstream words(FieldOf("/proc/meminfo", name));
  int64_t kibibytes = 0;
  words >> kibibytes;
  return core::Bytes(kibibytes * 1024);
}

}  // namespace

Machine LookAround() {
  Machine machine;
  machine.host = core::HostName();
  machine.processor = FieldOf("/proc/cpuinfo", "model name");
  machine.cores = core::Cores();
  machine.memory = MemoryField("MemTotal");
  machine.available_memory = MemoryField("MemAvailable");
  std::error_code error;
  const fs::space_info shared = fs::space("/dev/shm", error);
  if (!error) machine.shared_memory = core::Bytes(static_cast<int64_t>(shared.available));
  std::istringstream flags(FieldOf("/proc/cpuinfo", "flags"));
  for (std::string flag; flags >> flag;) {
    if (flag == "avx2" || flag == "avx512f" || flag == "avx512_bf16" || flag == "amx_bf16") {
      machine.instructions.insert(flag);
    }
  }
  machine.nvidia_device =
      fs::exists("/proc/driver/nvidia/version", error) || fs::exists("/dev/nvidia0", error);
  return machine;
}

int64_t OutOfMemoryKills() {
  std::ifstream file("/proc/vmstat");
  std::string name;
  for (int64_t count = 0; file >> name >> count;) {
    if (name == "oom_kill") return count;
  }
  return 0;
}

}  // namespace moat::launch
