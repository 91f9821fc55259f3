// Running a short program under a deadline.
#include "launch/captured.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "core/clock.h"
#include "launch/child.h"

namespace moat::launch {
namespace {

// False at the end of the pipe.
bool Take(int from, std::string* text) {
  char buffer[8192];
  const ssize_t n = read(from, buffer, sizeof buffer);
  if (n > 0) text->append(buffer, static_cast<size_t>(n));
  return n > 0 || (n < 0 && errno == EINTR);
}

}  // namespace

Captured RunCaptured(const std::vector<std::string>& argv,
                     const std::map<std::string, std::string>& env, double seconds) {
  Child child(argv, env);
  Captured captured;
  const double deadline = core::MonotonicSeconds() + seconds;
  pollfd fds[] = {{child.output(), POLLIN, 0}, {child.errors(), POLLIN, 0}};
  int status = 0;
  bool ended = false;
  while (!ended || fds[0].fd >= 0 || fds[1].fd >= 0) {
    if (core::MonotonicSeconds() > deadline) {  // the child's destructor kills its group
      captured.code = 124;
      return captured;
    }
    poll(fds, 2, 20);
    if (fds[0].revents != 0 && !Take(child.output(), &captured.output)) fds[0].fd = -1;
    if (fds[1].revents != 0 && !Take(child.errors(), &captured.errors)) fds[1].fd = -1;
    ended = ended || child.HasEnded(&status);
  }
  captured.code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return captured;
}

}  // namespace moat::launch
