// A started program, by fork and exec.
#include "launch/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "core/error.h"
#include "core/orphan.h"

extern char** environ;

namespace moat::launch {
namespace {

using Pipe = std::array<int, 2>;

Pipe MakePipe() {
  Pipe ends;
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw core::Error(core::ExitCode::kNode,
                      std::string("cannot make a pipe: ") + std::strerror(errno));
  }
  return ends;
}

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> Environment(const std::map<std::string, std::string>& added) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (added.count(text.substr(0, text.find('='))) == 0) environment.push_back(text);
  }
  for (const auto& [name, value] : added) environment.push_back(name + "=" + value);
  return environment;
}

// In the child, between fork and exec: system calls only.
[[noreturn]] void Become(char* const* argv, char* const* env, const sigset_t& blocked, pid_t parent,
                         int output, int errors, int report) {
  setpgid(0, 0);
  core::DieWithParent(parent);
  sigprocmask(SIG_SETMASK, &blocked, nullptr);
  signal(SIGPIPE, SIG_DFL);
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(errors, STDERR_FILENO);
  execvpe(argv[0], argv, env);
  const int error = errno;
  [[maybe_unused]] const ssize_t n = write(report, &error, sizeof error);
  _exit(127);
}

}  // namespace

Child::Child(const std::vector<std::string>& argv, const std::map<std::string, std::string>& env,
             const std::vector<int>& blocked) {
  sigset_t mask;
  sigemptyset(&mask);
  for (const int number : blocked) sigaddset(&mask, number);
  const std::vector<std::string> environment = Environment(env);
  const std::vector<char*> argv_pointers = Pointers(argv);
  const std::vector<char*> env_pointers = Pointers(environment);
  const Pipe output = MakePipe();
  const Pipe errors = MakePipe();
  const Pipe report = MakePipe();
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    Become(argv_pointers.data(), env_pointers.data(), mask, parent, output[1], errors[1],
           report[1]);
  }
  const int fork_error = errno;
  for (const int end : {output[1], errors[1], report[1]}) close(end);
  output_ = output[0];
  errors_ = errors[0];
  int error = pid_ < 0 ? fork_error : 0;
  // Empty when exec succeeded, since it closed the writing end.
  if (pid_ > 0) {
    setpgid(pid_, pid_);
    while (read(report[0], &error, sizeof error) < 0 && errno == EINTR) {
    }
  }
  close(report[0]);
  if (error == 0) return;
  if (pid_ > 0) waitpid(pid_, nullptr, 0);
  close(output_);
  close(errors_);
  throw core::ConfigError("cannot start " + argv[0] + ": " + std::strerror(error) +
                          "; launch/install-deps installs what moat needs");
}

Child::~Child() {
  if (!ended_) {
    Kill();
    waitpid(pid_, nullptr, 0);
  }
  close(output_);
  close(errors_);
}

// Once it was waited for, its number may belong to somebody else.
void Child::Signal(int number) const {
  if (!ended_) kill(pid_, number);
}

void Child::Kill() const {
  if (!ended_) kill(-pid_, SIGKILL);
}

bool Child::HasEnded(int* wait_status) {
  if (!ended_ && waitpid(pid_, wait_status, WNOHANG) == pid_) ended_ = true;
  return ended_;
}

void BecomeSubreaper() { prctl(PR_SET_CHILD_SUBREAPER, 1); }

void KillAdoptedChildren() {
  constexpr int kMostLooks = 500;  // 10 ms apart: one that waits for a dead device does not die
  const std::string self = std::to_string(getpid());
  for (int look = 0; look < kMostLooks; ++look) {
    std::ifstream file("/proc/" + self + "/task/" + self + "/children");
    for (pid_t pid = 0; file >> pid;) kill(pid, SIGKILL);
    pid_t reaped = 0;
    while ((reaped = waitpid(-1, nullptr, WNOHANG)) > 0) {
    }
    if (reaped < 0) return;  // there are none
    poll(nullptr, 0, 10);
  }
}

}  // namespace moat::launch
