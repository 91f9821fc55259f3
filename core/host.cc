// Host and process identity, from /proc.
#include "core/host.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace moat::core {

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

int Cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

int ThreadsOf(int asked) { return asked > 0 ? asked : Cores(); }

Bytes PeakMemory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return Bytes(int64_t{usage.ru_maxrss} * 1024);
}

Bytes ResidentMemory() {
  int64_t size = 0, resident = 0;  // pages
  std::ifstream("/proc/self/statm") >> size >> resident;
  return Bytes(resident * sysconf(_SC_PAGESIZE));
}

namespace {

// The value of the first line "name : value" of /proc/cpuinfo.
std::string CpuInfo(const std::string& name) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || !line.starts_with(name)) continue;
    return line.substr(std::min(line.size(), colon + 2));
  }
  return "";
}

}  // namespace

std::string CpuModel() { return CpuInfo("model name"); }

std::string InstructionSet() {
  const std::string flags = " " + CpuInfo("flags") + " ";
  std::string found;
  for (const std::string name : {"sse4_2", "avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16"}) {
    if (flags.find(" " + name + " ") == std::string::npos) continue;
    found += (found.empty() ? "" : " ") + name;
  }
  return found;
}

uint64_t ProcessStart(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(file, text)) return 0;
  // The second field is the command in parentheses and may hold anything; the third is the state,
  // the twenty-second the start.
  const size_t end = text.rfind(')');
  if (end == std::string::npos) return 0;
  std::istringstream fields(text.substr(end + 1));
  std::string state;
  fields >> state;
  if (state == "Z" || state == "X") return 0;
  std::string skipped;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  uint64_t start = 0;
  fields >> start;
  return start;
}

std::string BootId() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

std::filesystem::path ProgramFolder() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

}  // namespace moat::core
