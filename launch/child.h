// A started program: its own process group, its output in pipes, never outliving this process.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace moat::launch {

class Child {
 public:
  // Starts argv[0] (looked up in PATH) with `env` added to the environment and /dev/null as stdin.
  // Throws ConfigError when it cannot be started. Call from a thread that stays: the child dies
  // with it.
  // The child starts with the signals of `blocked` blocked and no others.
  Child(const std::vector<std::string>& argv, const std::map<std::string, std::string>& env,
        const std::vector<int>& blocked = {});
  ~Child();  // kills its process group if it has not ended, and waits for it
  Child(const Child&) = delete;

  pid_t pid() const { return pid_; }
  int output() const { return output_; }  // the read ends of its stdout and stderr
  int errors() const { return errors_; }

  // Nothing once HasEnded() said so.
  void Signal(int number) const;  // the program itself, not its group
  void Kill() const;              // its whole process group, at once
  // Whether it has ended; `wait_status` as from waitpid.
  bool HasEnded(int* wait_status);

 private:
  pid_t pid_ = -1;
  int output_ = -1;
  int errors_ = -1;
  bool ended_ = false;
};

// Kills and reaps every child of this process: those that lost their parent came here if it is a
// subreaper (BecomeSubreaper). Waits until they are gone, for five seconds at most.
void BecomeSubreaper();
void KillAdoptedChildren();

}  // namespace moat::launch
