// Starting the watcher of a node from its first rank.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "core/host.h"
#include "launch/node_watcher.h"

namespace moat::launch {
namespace {

// A variable of SLURM may be that of the batch script where mpirun starts ranks in a job.
int RankOfEnvironment() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "SLURM_PROCID"}) {
    if (const char* const value = std::getenv(name)) return std::atoi(value);
  }
  return -1;
}

// In the child: out of reach of what is done to the rank's session and process group, and holding
// none of its pipes, which would keep its daemon waiting for their end. System calls only.
[[noreturn]] void BecomeWatcher(const char* program, char* const* argv) {
  setsid();
  if (fork() != 0) _exit(0);
  const int null = open("/dev/null", O_RDWR);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, fd);
  close_range(STDERR_FILENO + 1, ~0u, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execv(program, argv);
  _exit(127);
}

}  // namespace

void StartNodeWatcher() {
  const char* const text = std::getenv(rundir::kNodeWatchVariable);
  const auto invitation = InvitationOf(text == nullptr ? "" : text);
  const int rank = RankOfEnvironment();
  if (!invitation || rank < 0 || rank % invitation->ranks_per_node != 0) return;
  if (core::HostName() == invitation->host) return;  // the supervisor sees this node itself
  const std::string program = core::ProgramFolder() / "moat";
  std::string command = "watch-node", first = std::to_string(rank), name = program;
  char* const argv[] = {name.data(), command.data(), first.data(), nullptr};
  const pid_t child = fork();
  if (child == 0) BecomeWatcher(program.c_str(), argv);
  if (child > 0) waitpid(child, nullptr, 0);
}

}  // namespace moat::launch
