// A started program, for tests: its output in a file, every wait with a deadline.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/clock.h"

namespace moat::testing {

// Asks again and again until it is so; false after `seconds`.
inline bool Eventually(double seconds, const std::function<bool()>& so) {
  const double deadline = core::MonotonicSeconds() + seconds;
  while (!so()) {
    if (core::MonotonicSeconds() > deadline) return false;
    usleep(2000);
  }
  return true;
}

class Process {
 public:
  Process(const std::vector<std::string>& argv, const std::string& output_file,
          const std::map<std::string, std::string>& env = {}, const std::string& directory = ".") {
    pid_ = fork();
    if (pid_ != 0) return;
    const int out = open(output_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    dup2(out, 1);
    dup2(out, 2);
    for (const auto& [name, value] : env) setenv(name.c_str(), value.c_str(), 1);
    if (chdir(directory.c_str()) != 0) _exit(127);
    std::vector<char*> words;
    for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    execvp(words[0], words.data());
    _exit(127);
  }
  ~Process() {
    if (pid_ > 0 && !ended_) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }
  Process(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void Signal(int number) const { kill(pid_, number); }
  // Its exit code, 128 + n when a signal ended it, -1 when it has not ended after `seconds`.
  int Wait(double seconds = 30) {
    int status = 0;
    ended_ = Eventually(seconds, [&] { return waitpid(pid_, &status, WNOHANG) == pid_; });
    if (!ended_) return -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  pid_t pid_ = -1;
  bool ended_ = false;
};

}  // namespace moat::testing
