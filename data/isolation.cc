// fork, check, report through a pipe.
#include "data/isolation.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>

#include "core/error.h"
#include "data/hdf5_handle.h"

namespace moat::data {
namespace {

constexpr int kFound = 3;  // exit status: the check threw, and what it said is in the pipe
constexpr unsigned kSeconds = 600;

[[noreturn]] void RunCheck(const std::function<void()>& check, int out) {
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM}) {
    std::signal(number, SIG_DFL);
  }
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);  // a library's last words help nobody
  alarm(kSeconds);
  try {
    check();
  } catch (const std::exception& error) {
    const ssize_t written = write(out, error.what(), std::strlen(error.what()));
    _exit(written >= 0 ? kFound : 1);
  }
  _exit(0);
}

std::string ReadAll(int in) {
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t n = read(in, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return text;
    text.append(buffer, static_cast<size_t>(n));
  }
}

int WaitFor(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

std::string ProblemInChild(const std::function<void()>& check) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    throw core::StorageError(std::string("cannot make a pipe: ") + std::strerror(errno));
  }
  pid_t child = -1;
  {
    const std::lock_guard lock(Hdf5Lock());
    child = fork();
  }
  if (child == 0) RunCheck(check, ends[1]);
  const int problem = errno;
  close(ends[1]);
  if (child < 0) {
    close(ends[0]);
    throw core::StorageError(std::string("cannot start a process: ") + std::strerror(problem));
  }
  std::string text = ReadAll(ends[0]);
  close(ends[0]);
  const int status = WaitFor(child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  if (WIFEXITED(status) && WEXITSTATUS(status) == kFound) return text;
  if (!WIFSIGNALED(status)) {
    return "the check ended with code " + std::to_string(WEXITSTATUS(status)) + " and said nothing";
  }
  const int signal = WTERMSIG(status);
  if (signal == SIGKILL) {  // nothing in the bytes sends that one
    throw core::OutOfMemoryError(
        "the process that checks a shard was killed: most likely the machine or its cgroup ran out "
        "of memory; the shard was not judged");
  }
  return signal == SIGALRM ? "HDF5 did not come to an end on it"
                           : "HDF5 crashed on it (signal " + std::to_string(signal) +
                                 "): its structure is damaged";
}

}  // namespace moat::data
