// Nodes that the supervisor knows through their watchers, and which of them is lost. Pure.
//
// A node is lost where its host has not answered for ten seconds (the kernel says so: a watcher
// that is only slow or stopped still has a host that answers) and no rank that can be seen has
// entered a phase for as long. A watcher that is gone while its host answers proves nothing: its
// ranks are not seen any more, and that is all.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launch/hang.h"
#include "rundir/outcome.h"

namespace moat::launch {

inline constexpr int kUnansweredSeconds = 10;     // until a host counts as one that does not answer
inline constexpr double kStandstillSeconds = 10;  // of all ranks that can be seen
inline constexpr double kSilentSeconds = 2;       // a watcher says something every second

enum class Link {
  kUp,
  kBroken,       // closed by the other side: the watcher has ended
  kUnreachable,  // the host does not answer
};

struct NodeView {
  std::string host;     // as its processes call it
  std::string address;  // as its watcher was seen
  int first_rank = 0;   // of its block
  int ranks = 0;
  Link link = Link::kUp;
  double silent = 0;  // seconds since its watcher was heard
};

// The node that most likely is the trouble where ranks hang or mpirun has failed: one that does not
// answer, else one whose watcher is gone, else one that is silent.
std::optional<NodeView> Unheard(const std::vector<NodeView>& nodes);

// "node n2 (ranks 4-7) does not answer", for outcome.json; names its first rank.
rundir::FirstFailure FailureOf(const NodeView& node);

class LostNodeWatch {
 public:
  // To be called again and again, `now` in seconds; time in which nobody looked does not count.
  std::optional<NodeView> Look(const std::vector<NodeView>& nodes,
                               const std::vector<RankView>& ranks, double now);

 private:
  std::optional<double> looked_at_;
  double standstill_ = 0;
  std::vector<uint64_t> phases_;
};

}  // namespace moat::launch
