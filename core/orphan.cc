// No orphans, by PR_SET_PDEATHSIG.
#include "core/orphan.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace moat::core {

void DieWithParent(pid_t parent) {
  const pid_t expected = parent != 0 ? parent : getppid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have died before the line above: then nobody will send the signal.
  if (getppid() != expected) _exit(128 + SIGKILL);
}

}  // namespace moat::core
