// The watcher of a node: shows the boards of the node's ranks to a supervisor on another one, looks
// at their processes when asked, and kills them when told so. `moat watch-node` runs it.
//
// It uses no MPI and is no child of mpirun's daemons, so it sees what hangs and what is left. It
// ends when the supervisor says that the attempt is over. Where the supervisor cannot be reached
// any more and its ranks stand still as well, it kills them and ends: the supervisor has given this
// node up, and starts the run elsewhere.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>

#include "launch/node_protocol.h"
#include "launch/socket.h"
#include "rundir/attempt.h"
#include "rundir/layout.h"

namespace moat::launch {

inline constexpr double kGiveUpSeconds = 15;  // without a connection, and without a new phase

class NodeWatcher {
 public:
  // Ranks first_rank .. first_rank + ranks_per_node - 1 of the attempt.
  NodeWatcher(const Invitation& invitation, const rundir::SupervisedAttempt& attempt,
              int first_rank);
  // Until it is not needed any more.
  void Run();

 private:
  struct Process {
    pid_t pid = 0;
    uint64_t start = 0;  // core::ProcessStart
  };
  void Join();
  bool Greeted(const Socket& socket);
  void Obey(const NodeOrder& order);
  void TakeOrders();
  void LookAtBoards();
  void Tell();
  void Queue(NodeNews news);
  bool Over(double now);
  bool RanksAlive() const;
  void KillRanks() const;

  Invitation invitation_;
  rundir::RunLayout layout_;
  int attempt_;
  int first_rank_;
  std::string host_;
  Socket socket_;
  LineBuffer orders_{kLongestOrder};
  std::string outgoing_;              // what the system has not taken yet
  std::map<int, std::string> told_;   // of each rank, as it was sent
  std::map<int, uint64_t> phases_;    // of each rank
  std::map<int, Process> processes_;  // of each rank
  std::map<int, rundir::BoardSnapshot> boards_;
  double told_at_ = 0;
  double alone_at_ = 0;  // when the connection was lost, or a rank entered a phase since then
  double join_at_ = 0;   // when to try again
  bool joined_ = false;  // at least once
  double end_at_ = 0;    // 0: nobody has said that the attempt is over
};

// `moat watch-node FIRST_RANK`, in the environment that a rank has. Throws ConfigError where it is
// not that of a rank.
void WatchNode(int first_rank);

// In a rank, before it starts MPI: starts the watcher of its node where the supervisor is on
// another one and this is the node's first rank. Does nothing where that cannot be done: then the
// node is not watched.
void StartNodeWatcher();

}  // namespace moat::launch
