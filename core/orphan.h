// No orphans: a process that must not outlive the one that started it.
#pragma once

#include <sys/types.h>

namespace moat::core {

// From now on the kernel kills this process when its parent dies, by whatever signal. If the parent
// is dead already this process ends here, with 128 + 9. `parent`: who started it, where that is
// known (a fork knows); 0: whoever is the parent now.
//
// It holds for the thread of the parent that forked: start children from a thread that stays.
void DieWithParent(pid_t parent = 0);

}  // namespace moat::core
