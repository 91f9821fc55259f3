// Watching a node's ranks for a supervisor elsewhere.
#include "launch/node_watcher.h"

#include <poll.h>
#include <signal.h>

#include <cstdlib>

#include "core/clock.h"
#include "core/error.h"
#include "core/host.h"
#include "launch/process_sight.h"

namespace moat::launch {
namespace {

constexpr double kLookSeconds = 0.2;
constexpr double kHeartbeatSeconds = 1;
constexpr double kConnectSeconds = 1;
constexpr double kWelcomeSeconds = 2;

}  // namespace

NodeWatcher::NodeWatcher(const Invitation& invitation, const rundir::SupervisedAttempt& attempt,
                         int first_rank)
    : invitation_(invitation),
      layout_{attempt.run_dir},
      attempt_(attempt.attempt),
      first_rank_(first_rank),
      host_(core::HostName()),
      alone_at_(core::MonotonicSeconds()) {}

void NodeWatcher::Run() {
  while (true) {
    const double now = core::MonotonicSeconds();
    if (!socket_.open() && now >= join_at_) Join();
    LookAtBoards();
    if (Over(now)) return;
    if (socket_.open()) Tell();
    pollfd wait = {socket_.fd(), POLLIN, 0};
    poll(&wait, 1, static_cast<int>(kLookSeconds * 1e3));
    if (socket_.open()) TakeOrders();
  }
}

void NodeWatcher::Join() {
  for (const std::string& address : invitation_.addresses) {
    Socket socket = Connect(address, invitation_.port, kConnectSeconds);
    if (!socket.open() || !Greeted(socket)) continue;
    socket_ = std::move(socket);
    joined_ = true;
    told_.clear();
    outgoing_.clear();
    told_at_ = 0;
    return;
  }
  join_at_ = core::MonotonicSeconds() + kHeartbeatSeconds;
}

// Somebody else may listen at that port of another address.
bool NodeWatcher::Greeted(const Socket& socket) {
  const std::string token = invitation_.token + "\n";
  if (Send(socket, token) != static_cast<long>(token.size())) return false;
  orders_ = LineBuffer(kLongestOrder);
  const double deadline = core::MonotonicSeconds() + kWelcomeSeconds;
  try {
    while (core::MonotonicSeconds() < deadline) {
      pollfd wait = {socket.fd(), POLLIN, 0};
      poll(&wait, 1, 100);
      std::string bytes;
      const Link link = Receive(socket, kLongestOrder, &bytes);
      orders_.Add(bytes);
      if (const auto line = orders_.Next()) {
        return NodeOrderOf(*line).what == NodeOrder::What::kWelcome;
      }
      if (link != Link::kUp) return false;
    }
  } catch (const core::DataError&) {  // it is somebody else
  }
  return false;
}

void NodeWatcher::TakeOrders() {
  std::string bytes;
  Link link = Receive(socket_, kLongestOrder, &bytes);
  orders_.Add(bytes);
  try {
    while (const auto line = orders_.Next()) Obey(NodeOrderOf(*line));
  } catch (const core::DataError&) {
    link = Link::kBroken;
  }
  if (link == Link::kUp) return;
  socket_ = Socket();
  alone_at_ = core::MonotonicSeconds();
}

void NodeWatcher::Obey(const NodeOrder& order) {
  if (order.what == NodeOrder::What::kEnd) end_at_ = core::MonotonicSeconds() + order.seconds;
  if (order.what != NodeOrder::What::kReport) return;
  std::map<int, pid_t> processes;
  for (const auto& [rank, process] : processes_) processes[rank] = process.pid;
  NodeNews news;
  news.processes = LookAt(processes);
  Queue(std::move(news));
}

void NodeWatcher::LookAtBoards() {
  for (int rank = first_rank_; rank < first_rank_ + invitation_.ranks_per_node; ++rank) {
    auto board = rundir::ReadBoard(layout_.board(attempt_, rank));
    if (!board || board->host != host_) continue;
    const auto pid = static_cast<pid_t>(board->pid);
    Process& process = processes_[rank];
    if (process.pid != pid) process = {pid, core::ProcessStart(pid)};
    uint64_t& phases = phases_[rank];
    if (board->phases != phases) alone_at_ = core::MonotonicSeconds();
    phases = board->phases;
    boards_[rank] = std::move(*board);
  }
}

void NodeWatcher::Queue(NodeNews news) {
  news.host = host_;
  news.first_rank = first_rank_;
  news.ranks = invitation_.ranks_per_node;
  news.now = core::MonotonicSeconds();
  outgoing_ += ToLine(news);
  told_at_ = news.now;
}

void NodeWatcher::Tell() {
  if (outgoing_.empty()) {  // else the supervisor is slow, and gets what is true then
    NodeNews news;
    for (const auto& [rank, board] : boards_) {
      NodeNews one;
      one.boards[rank] = board;
      std::string text = ToLine(one);
      if (text == told_[rank]) continue;
      told_[rank] = std::move(text);
      news.boards[rank] = board;
    }
    const bool due = core::MonotonicSeconds() - told_at_ >= kHeartbeatSeconds;
    if (!news.boards.empty() || due) Queue(std::move(news));
  }
  const long sent = Send(socket_, outgoing_);
  if (sent > 0) outgoing_.erase(0, static_cast<size_t>(sent));
}

bool NodeWatcher::RanksAlive() const {
  for (const auto& [rank, process] : processes_) {
    if (process.start != 0 && core::ProcessStart(process.pid) == process.start) return true;
  }
  return false;
}

// Their numbers may belong to somebody else once they have ended.
void NodeWatcher::KillRanks() const {
  for (const auto& [rank, process] : processes_) {
    if (process.start == 0 || core::ProcessStart(process.pid) != process.start) continue;
    kill(process.pid, SIGKILL);
  }
}

bool NodeWatcher::Over(double now) {
  if (end_at_ != 0) {
    if (!RanksAlive()) return true;
    if (now >= end_at_) KillRanks();
    return false;
  }
  if (socket_.open() || now - alone_at_ < kGiveUpSeconds) return false;
  if (joined_) KillRanks();  // else nobody has watched them from elsewhere, and nobody need
  return true;
}

void WatchNode(int first_rank) {
  const char* const text = std::getenv(rundir::kNodeWatchVariable);
  const auto invitation = InvitationOf(text == nullptr ? "" : text);
  const auto attempt = rundir::AttemptFromEnvironment();
  if (!invitation || !attempt || first_rank < 0) {
    throw core::ConfigError(
        std::string("expected what a rank of moat launch has in its environment "
                    "in ") +
        rundir::kNodeWatchVariable +
        ", found nothing like it; ranks start this command themselves");
  }
  NodeWatcher(*invitation, *attempt, first_rank).Run();
}

}  // namespace moat::launch
