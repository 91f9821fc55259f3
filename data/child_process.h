// A child process whose standard output is read as it comes. No shell: arguments need no quoting.
#pragma once

#include <sys/types.h>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace moat::data {

class ChildProcess {
 public:
  // Starts argv[0], found on PATH. Standard input is empty; GIT_* variables are not passed on, so
  // that a hook's environment does not redirect git. Throws ConfigError when it cannot be started.
  explicit ChildProcess(const std::vector<std::string>& argv);
  ~ChildProcess();  // ends the child if it still runs
  ChildProcess(const ChildProcess&) = delete;

  // The next bytes up to and including `delimiter`, without it. False at the end of the output when
  // nothing was left. `limit` bounds memory: bytes of the piece beyond it are dropped.
  bool ReadUntil(char delimiter, std::string* piece, size_t limit);

  // Waits for the end. The exit status, 128 + n for a signal. Reads and drops what output is left.
  int Wait();
  // What it wrote to standard error, trimmed; after Wait().
  std::string ErrorText() const;

 private:
  bool Fill();

  int output_ = -1;
  int errors_ = -1;  // an anonymous file, so that a chatty child never blocks
  pid_t pid_ = -1;
  std::string buffer_;
  size_t at_ = 0;
};

// Runs to the end and returns the whole output. `status` gets the exit status; `errors`, if given,
// standard error.
std::string OutputOf(const std::vector<std::string>& argv, int* status,
                     std::string* errors = nullptr);

}  // namespace moat::data
