// What the system says about a process of this node, for the report of a hang.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

namespace moat::launch {

// The state letter of /proc/PID/stat: R runs, S and D wait, T is stopped, Z has ended; '-': there
// is no such process.
char ProcessState(pid_t pid);
const char* StateText(char state);  // "runs", "is stopped by a signal", ...

// Where its threads are: wait channel, system call and kernel stack as far as this user may read
// them, and the stacks of its threads by gdb, else eu-stack, where there is one. Takes `seconds` at
// most. Lines of text.
std::string StacksOf(pid_t pid, double seconds);

struct ProcessSight {
  char state = '?';
  std::string stacks;  // "" where there are none to take, or no time was left
};
// Of the ranks' processes, by rank, with the stacks of the first few: kSightSeconds at most.
inline constexpr double kSightSeconds = 10;
std::map<int, ProcessSight> LookAt(const std::map<int, pid_t>& processes);

}  // namespace moat::launch
