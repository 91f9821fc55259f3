// Watching one attempt: what its ranks print, the signals that come, the lease, hangs and
// stragglers.
//
// All in one thread, which waits for whatever happens first. It never waits for a rank: what ranks
// do it reads from their boards (rundir/board.h), or hears from the watchers of other nodes
// (launch/node_watch.h).
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "launch/child.h"
#include "launch/hang.h"
#include "launch/job_spec.h"
#include "launch/lost_node.h"
#include "launch/node_watch.h"
#include "launch/signal_source.h"
#include "launch/stragglers.h"
#include "launch/verdict.h"
#include "rundir/layout.h"
#include "rundir/lease.h"

namespace moat::launch {

// Copies pipes to the terminal and to the node's log, and keeps the end of what passed. The
// terminal is spared what mpirun says when it passes our own signals on.
class Tee {
 public:
  explicit Tee(const std::filesystem::path& log);  // throws StorageError
  bool Pass(int from, int to);                     // false at the end of the pipe
  const std::string& tail() const { return tail_; }

 private:
  std::ofstream log_;
  std::string tail_;
};

class AttemptWatch {
 public:
  // All outlive the watch. `nodes` is null where there are no other nodes, or nobody watches them.
  AttemptWatch(const JobSpec& job, const rundir::RunLayout& layout, int ranks, rundir::Lease& lease,
               const SignalSource& signals, NodeWatch* nodes);

  // Until the child (mpirun) has ended and its output is drained. What an Ending says of the child,
  // of signals and of hangs is filled in.
  Ending Until(Child& child);

 private:
  void OnSignal(int number, Child& child);
  bool AllListen() const;
  void EndRanks(Child& child) const;
  void KeepTime(double now, Child& child);
  std::vector<RankView> Views(double now) const;
  void LookAtBoards(double now, Child& child);
  void LookAtNodes(const std::vector<RankView>& views, double now, Child& child);
  void EndHang(const std::vector<RankView>& views, const Late& late, Child& child);
  void EndAttempt(Child& child);

  double grace_;
  bool in_allocation_;
  int stdout_;
  const rundir::RunLayout& layout_;
  int attempt_;
  int ranks_;
  rundir::Lease& lease_;
  const SignalSource& signals_;
  NodeWatch* nodes_;
  Tee tee_;
  Ending ending_;
  HangWatch hangs_;
  LostNodeWatch lost_nodes_;
  StragglerWatch stragglers_;
  double kill_at_ = 0;  // 0: nobody asked it to end
  double renew_at_ = 0;
  double look_at_ = 0;
};

}  // namespace moat::launch
