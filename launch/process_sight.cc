// A process, from /proc and through a debugger.
#include "launch/process_sight.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "launch/captured.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostBytes = 32 << 10;  // of one debugger's output
constexpr size_t kMostThreads = 8;       // looked at in /proc
constexpr size_t kMostStacks = 8;        // of a node
constexpr double kOneStackSeconds = 5;

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string OneLine(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::string KernelSide(pid_t pid) {
  std::vector<fs::path> threads;
  std::error_code ignored;
  for (const auto& entry :
       fs::directory_iterator("/proc/" + std::to_string(pid) + "/task", ignored)) {
    threads.push_back(entry.path());
  }
  std::sort(threads.begin(), threads.end());
  std::string text;
  for (size_t i = 0; i < std::min(threads.size(), kMostThreads); ++i) {
    text += "thread " + threads[i].filename().string() + " (" +
            OneLine(ReadAll(threads[i] / "comm")) + "): waits in " +
            OneLine(ReadAll(threads[i] / "wchan")) + ", system call " +
            OneLine(ReadAll(threads[i] / "syscall")) + "\n" + ReadAll(threads[i] / "stack");
  }
  return text;
}

// Nothing where there is no such program.
std::string Printed(const std::vector<std::string>& argv, double seconds) {
  try {
    const Captured captured = RunCaptured(argv, {{"DEBUGINFOD_URLS", ""}}, seconds);
    std::string text = captured.output.substr(0, kMostBytes);
    if (captured.code != 0) {
      text += argv[0] + " ended with " + std::to_string(captured.code) + ": " +
              captured.errors.substr(0, 1024) + "\n";
    }
    return text;
  } catch (const core::ConfigError&) {
    return "";
  }
}

}  // namespace

char ProcessState(pid_t pid) {
  const std::string stat = ReadAll("/proc/" + std::to_string(pid) + "/stat");
  const size_t name_end = stat.rfind(')');  // the name may hold anything
  return name_end == std::string::npos || name_end + 2 >= stat.size() ? '-' : stat[name_end + 2];
}

const char* StateText(char state) {
  switch (state) {
    case 'R':
      return "runs";
    case 'S':
      return "sleeps";
    case 'D':
      return "waits for a device or file system";
    case 'T':
      return "is stopped by a signal";
    case 't':
      return "is stopped by a debugger";
    case 'Z':
      return "has ended, and nobody waited for it";
    case '-':
      return "is gone";
    default:
      return "is in an unknown state";
  }
}

std::string StacksOf(pid_t pid, double seconds) {
  std::string stacks = Printed({"gdb", "-batch", "-nx", "-p", std::to_string(pid), "-ex",
                                "set pagination off", "-ex", "thread apply all backtrace 32"},
                               seconds);
  if (stacks.empty()) stacks = Printed({"eu-stack", "-p", std::to_string(pid)}, seconds);
  if (stacks.empty()) stacks = "no gdb or eu-stack is installed: no stacks of this process\n";
  return KernelSide(pid) + stacks;
}

std::map<int, ProcessSight> LookAt(const std::map<int, pid_t>& processes) {
  const double deadline = core::MonotonicSeconds() + kSightSeconds;
  std::map<int, ProcessSight> sights;
  for (const auto& [rank, pid] : processes) sights[rank].state = ProcessState(pid);
  size_t taken = 0;
  for (const auto& [rank, pid] : processes) {
    const double left = deadline - core::MonotonicSeconds();
    if (sights[rank].state == '-' || left < 0.1 || taken++ == kMostStacks) continue;
    sights[rank].stacks = StacksOf(pid, std::min(left, kOneStackSeconds));
  }
  return sights;
}

}  // namespace moat::launch
