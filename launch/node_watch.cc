// Listening to the watchers of other nodes.
#include "launch/node_watch.h"

#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <limits>

#include "core/clock.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/host.h"
#include "core/logging.h"

namespace moat::launch {
namespace {

constexpr size_t kMostConnections = 4096;
constexpr size_t kReadAtOnce = 1u << 20;

void Add(const Socket& events, const Socket& socket) {
  epoll_event event{};
  event.events = EPOLLIN;
  epoll_ctl(events.fd(), EPOLL_CTL_ADD, socket.fd(), &event);
}

}  // namespace

NodeWatch::NodeWatch(int ranks, int ranks_per_node)
    : ranks_(ranks), events_(epoll_create1(EPOLL_CLOEXEC)) {
  listener_ = Listen(&invitation_.port);
  invitation_.host = core::HostName();
  invitation_.ranks_per_node = ranks_per_node;
  invitation_.token = core::RandomHex(kTokenBytes / 2);
  invitation_.addresses = OwnAddresses();
  Add(events_, listener_);
}

NodeWatch::~NodeWatch() = default;

void NodeWatch::Refuse(const Peer& peer, const std::string& why) {
  if (refused_++ > 0) return;  // once is enough
  core::Log(core::Log::kWarning) << "a connection from " << peer.address << " is refused: " << why;
}

void NodeWatch::AcceptAll(double now) {
  std::string address;
  for (Socket socket = Accept(listener_, &address); socket.open();
       socket = Accept(listener_, &address)) {
    if (peers_.size() >= kMostConnections) continue;
    Add(events_, socket);
    peers_.push_back({std::move(socket), address, now, "", false, LineBuffer(kLongestLine), ""});
  }
}

void NodeWatch::Serve(double now) {
  AcceptAll(now);
  for (auto peer = peers_.begin(); peer != peers_.end();) {
    if (!peer->known && now - peer->since > kTokenSeconds) {
      Refuse(*peer, "it did not say the token of this attempt in time");
      peer = peers_.erase(peer);
    } else {
      peer = Read(*peer, now) ? std::next(peer) : peers_.erase(peer);
    }
  }
}

bool NodeWatch::ReadToken(Peer& peer, Link* link) {
  const size_t size = kTokenBytes + 1;  // with its newline
  *link = Receive(peer.socket, size - peer.token.size(), &peer.token);
  if (peer.token.size() < size) return *link == Link::kUp;
  peer.known = SameSecret(peer.token, invitation_.token + "\n");
  return peer.known && Tell(peer, {NodeOrder::What::kWelcome, 0});
}

bool NodeWatch::Read(Peer& peer, double now) {
  Link link = Link::kUp;
  if (!peer.known && !ReadToken(peer, &link)) {
    Refuse(peer, "it did not begin with the token of this attempt");
    return false;
  }
  if (!peer.known) return true;
  std::string bytes;
  link = Receive(peer.socket, kReadAtOnce, &bytes);
  peer.lines.Add(bytes);
  try {
    while (const auto line = peer.lines.Next()) Hear(peer, NodeNewsOf(*line, ranks_), now);
  } catch (const core::DataError& error) {
    Refuse(peer, error.what());
    link = Link::kBroken;
  }
  if (link == Link::kUp) return true;
  Lose(peer, link);
  return false;
}

void NodeWatch::Hear(Peer& peer, NodeNews news, double now) {
  peer.host = news.host;
  Node& node = nodes_[news.host];
  node.view = {news.host, peer.address, news.first_rank, news.ranks, Link::kUp, 0};
  node.heard_at = now;
  node.peer = &peer;
  for (auto& [rank, board] : news.boards) {
    node.boards[rank] = OnOurClock(std::move(board), now - news.now);
  }
  if (news.processes) node.processes = std::move(news.processes);
}

void NodeWatch::Lose(const Peer& peer, Link link) {
  const auto found = nodes_.find(peer.host);
  if (found == nodes_.end() || found->second.peer != &peer) return;  // it has a newer one
  Node& node = found->second;
  node.peer = nullptr;
  node.view.link = link;
  if (node.ending) return;
  core::Log(core::Log::kWarning) << FailureOf(node.view).what
                                 << "; its ranks cannot be seen until its watcher is back";
}

bool NodeWatch::Tell(Peer& peer, const NodeOrder& order) {
  const std::string line = ToLine(order);
  return Send(peer.socket, line) == static_cast<long>(line.size());
}

void NodeWatch::TellAll(const NodeOrder& order) {
  for (Peer& peer : peers_) {
    if (peer.known) Tell(peer, order);  // one that takes nothing is gone, or will be noticed
  }
}

std::vector<NodeView> NodeWatch::Nodes(double now) const {
  std::vector<NodeView> views;
  for (const auto& [host, node] : nodes_) {
    if (node.ending) continue;
    views.push_back(node.view);
    views.back().silent = now - node.heard_at;
  }
  return views;
}

void NodeWatch::Show(std::vector<RankView>& ranks, double now) {
  for (const auto& [host, node] : nodes_) {
    if (node.view.link != Link::kUp || now - node.heard_at > kSilentSeconds) continue;
    for (const auto& [rank, board] : node.boards) {
      ranks[static_cast<size_t>(rank)] = {RankView::Where::kHere, board};
    }
  }
  for (const RankView& rank : ranks) {
    const std::string& host = rank.board.host;
    if (rank.where != RankView::Where::kElsewhere || host.empty() || nodes_.count(host) > 0)
      continue;
    double& since = unwatched_.try_emplace(host, now).first->second;
    if (now - since < kWatcherSeconds) continue;
    since = std::numeric_limits<double>::infinity();
    core::Log(core::Log::kWarning)
        << "node " << host << " has no watcher: ranks there that hang show here as ranks that wait "
        << "for them. Can it open TCP connections to port " << invitation_.port << " of this host?";
  }
}

void NodeWatch::AskForProcesses() {
  for (auto& [host, node] : nodes_) node.processes.reset();
  TellAll({NodeOrder::What::kReport, 0});
}

std::map<int, ProcessSight> NodeWatch::Processes(double seconds) {
  const auto answered = [](const auto& entry) {
    return entry.second.processes || entry.second.peer == nullptr;
  };
  const double deadline = core::MonotonicSeconds() + seconds;
  while (true) {
    const double now = core::MonotonicSeconds();
    Serve(now);
    if (std::all_of(nodes_.begin(), nodes_.end(), answered) || now > deadline) break;
    pollfd wait = {fd(), POLLIN, 0};
    poll(&wait, 1, 100);
  }
  std::map<int, ProcessSight> sights;
  for (auto& [host, node] : nodes_) {
    if (node.processes) sights.merge(*node.processes);
  }
  return sights;
}

void NodeWatch::EndRanks(double grace) {
  for (auto& [host, node] : nodes_) node.ending = node.ending || node.peer != nullptr;
  TellAll({NodeOrder::What::kEnd, grace});
}

void NodeWatch::AwaitEnd(double seconds) {
  const double deadline = core::MonotonicSeconds() + seconds;
  const auto known = [](const Peer& peer) { return peer.known; };
  while (std::any_of(peers_.begin(), peers_.end(), known)) {
    const double now = core::MonotonicSeconds();
    if (now > deadline) return;
    pollfd wait = {fd(), POLLIN, 0};
    poll(&wait, 1, 100);
    Serve(now);
  }
}

}  // namespace moat::launch
