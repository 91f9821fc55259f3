// Child processes by posix_spawn.
#include "data/child_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <limits>

#include "core/error.h"

extern char** environ;

namespace moat::data {
namespace {

std::vector<std::string> Environment() {
  std::vector<std::string> environment = {"LC_ALL=C", "GIT_OPTIONAL_LOCKS=0",
                                          "GIT_TERMINAL_PROMPT=0"};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (text.substr(0, 4) != "GIT_" && text.substr(0, 7) != "LC_ALL=") {
      environment.emplace_back(text);
    }
  }
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& argv) {
  std::array<int, 2> pipe_ends{};
  errors_ = memfd_create("stderr", MFD_CLOEXEC);
  if (errors_ < 0 || pipe2(pipe_ends.data(), O_CLOEXEC) != 0) {
    throw core::StorageError(std::string("cannot make a pipe: ") + std::strerror(errno));
  }
  output_ = pipe_ends[0];
  std::vector<std::string> arguments = argv;
  std::vector<std::string> environment = Environment();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], 1);
  posix_spawn_file_actions_adddup2(&actions, errors_, 2);
  const int failed = posix_spawnp(&pid_, argv[0].c_str(), &actions, nullptr,
                                  Pointers(arguments).data(), Pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_ends[1]);
  if (failed != 0) {
    close(output_);
    close(errors_);
    throw core::ConfigError("cannot start " + argv[0] + ": " + std::strerror(failed) +
                            "; install it");
  }
}

ChildProcess::~ChildProcess() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(output_);
  close(errors_);
}

bool ChildProcess::Fill() {
  buffer_.resize(1 << 16);
  at_ = 0;
  ssize_t got = 0;
  do {
    got = read(output_, buffer_.data(), buffer_.size());
  } while (got < 0 && errno == EINTR);
  buffer_.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return got > 0;
}

bool ChildProcess::ReadUntil(char delimiter, std::string* piece, size_t limit) {
  piece->clear();
  bool any = false;
  while (at_ < buffer_.size() || Fill()) {
    any = true;
    const size_t found = buffer_.find(delimiter, at_);
    const size_t end = std::min(found, buffer_.size());
    piece->append(buffer_, at_, std::min(end - at_, limit - std::min(limit, piece->size())));
    at_ = end;
    if (found != std::string::npos) {
      ++at_;
      return true;
    }
  }
  return any;
}

int ChildProcess::Wait() {
  while (Fill()) {
  }
  buffer_.clear();
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string ChildProcess::ErrorText() const {
  std::string text(4096, '\0');
  const ssize_t got = pread(errors_, text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.pop_back();
  return text;
}

std::string OutputOf(const std::vector<std::string>& argv, int* status, std::string* errors) {
  ChildProcess child(argv);
  std::string output;
  std::string piece;
  while (child.ReadUntil('\n', &piece, std::numeric_limits<size_t>::max())) output += piece + '\n';
  *status = child.Wait();
  if (errors != nullptr) *errors = child.ErrorText();
  return output;
}

}  // namespace moat::data
