// The supervisor's side of the watch over other nodes: it listens for their watchers, keeps what
// they say, and passes on what they are to do.
//
// Nothing waits for a peer but Processes() and End(), which have deadlines. A connection must begin
// with the token of the attempt: nothing else of it is read before, and a wrong one is closed
// without an answer.
#pragma once

#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "launch/hang.h"
#include "launch/lost_node.h"
#include "launch/node_protocol.h"
#include "launch/socket.h"

namespace moat::launch {

inline constexpr double kTokenSeconds = 5;     // a connection gets to say its token
inline constexpr double kWatcherSeconds = 30;  // until a node without a watcher is told of

class NodeWatch {
 public:
  // Throws Error (69) where nobody can listen here.
  NodeWatch(int ranks, int ranks_per_node);
  ~NodeWatch();
  NodeWatch(const NodeWatch&) = delete;

  const Invitation& invitation() const { return invitation_; }
  int fd() const { return events_.fd(); }  // readable when there is something to serve
  // Takes what has come; `now` is core::MonotonicSeconds().
  void Serve(double now);

  // Ranks whose watchers have been heard lately are as if they were here.
  void Show(std::vector<RankView>& ranks, double now);
  std::vector<NodeView> Nodes(double now) const;
  int refused() const { return refused_; }  // connections without the token, or without sense

  // All watchers look at the processes of their ranks; what those said that answered in time.
  void AskForProcesses();
  std::map<int, ProcessSight> Processes(double seconds);

  // Ranks on other nodes that are still there after `grace` seconds are killed by their watchers,
  // which end then.
  void EndRanks(double grace);
  // Waits until all watchers have ended, for so many seconds at most.
  void AwaitEnd(double seconds);

 private:
  struct Peer {
    Socket socket;
    std::string address;
    double since = 0;
    std::string token;  // what has come of it
    bool known = false;
    LineBuffer lines{kLongestLine};
    std::string host;  // "" before it has said so
  };
  struct Node {
    NodeView view;
    double heard_at = 0;
    bool ending = false;
    const Peer* peer = nullptr;
    std::map<int, rundir::BoardSnapshot> boards;
    std::optional<std::map<int, ProcessSight>> processes;
  };

  void AcceptAll(double now);
  bool Read(Peer& peer, double now);       // false: it is to go
  bool ReadToken(Peer& peer, Link* link);  // false: it is wrong
  void Hear(Peer& peer, NodeNews news, double now);
  void Lose(const Peer& peer, Link link);
  bool Tell(Peer& peer, const NodeOrder& order);
  void TellAll(const NodeOrder& order);
  void Refuse(const Peer& peer, const std::string& why);

  int ranks_;
  Invitation invitation_;
  Socket events_;
  Socket listener_;
  std::list<Peer> peers_;
  std::map<std::string, Node> nodes_;        // by host
  std::map<std::string, double> unwatched_;  // hosts with ranks but no watcher, since when
  int refused_ = 0;
};

}  // namespace moat::launch
