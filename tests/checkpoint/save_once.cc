// Saves one checkpoint of the sample state with thread ranks, in a process that tests may kill.
//
//   save_once ROOT STEP RANKS [largest file in bytes]
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>

#include "comm/threads.h"
#include "tests/checkpoint/sample_state.h"

int main(int argc, char** argv) {
  using namespace moat;
  if (argc < 4) return 2;
  if (argc > 4) {  // a full disk, as far as this process can tell
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{static_cast<rlim_t>(std::atoll(argv[4])), RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  return core::RunMain([&] {
    const int64_t step = std::atoll(argv[2]);
    const int ranks = std::atoi(argv[3]);
    comm::ThreadGroup::Run(ranks, [&](comm::Communicator& world) {
      const testing::SampleState state(step, world.rank(), ranks);
      checkpoint::Save({argv[1], 2, {}}, testing::SamplePosition(step), state.ToSave(), world);
    });
    return 0;
  });
}
