// Ranks as threads of one process: the readable reference for every backend, and how unit tests run
// several ranks.
//
// A rank reads its peers' buffers directly, between arrivals: publish, all arrive, read, all
// arrive. No OpenMP, so that ThreadSanitizer sees every ordering.
#pragma once

#include <functional>

#include "comm/communicator.h"

namespace moat::comm {

class ThreadGroup {
 public:
  // Runs body(world) on `ranks` threads, each with its own communicator of the group "world", and
  // returns when all have ended. When a body throws, peers that wait for it (now or later, in this
  // group or one made from it) throw PeerError at once; Run then rethrows what was thrown first.
  // `ranks_per_node` consecutive ranks pose as one node (Member::node); 0: all do.
  static void Run(int ranks, const std::function<void(Communicator& world)>& body,
                  double deadline_seconds = kDefaultDeadlineSeconds, int ranks_per_node = 0);
};

}  // namespace moat::comm
