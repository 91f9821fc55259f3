// The watch over one attempt.
#include "launch/attempt_watch.h"

#include <poll.h>
#include <re2/re2.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/clock.h"
#include "core/error.h"
#include "core/host.h"
#include "core/logging.h"
#include "launch/hang_report.h"
#include "rundir/board.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;

constexpr double kRenewSeconds = 10;
constexpr double kLookSeconds = 0.2;
constexpr double kDrainSeconds = 2;    // for output that outlives mpirun
constexpr double kEndHangSeconds = 5;  // mpirun may take to end the ranks of a hang, everywhere
constexpr double kNodesSeconds = 2;    // the watchers of other nodes may take to end
constexpr size_t kTailBytes = 16384;

std::string ForTerminal(std::string text) {
  RE2::GlobalReplace(&text, R"((?m)^mpirun: Forwarding signal \d+ to job\n)", "");
  return text;
}

}  // namespace

Tee::Tee(const fs::path& log) : log_(log, std::ios::app) {
  if (!log_) throw core::StorageError("cannot open " + log.string());
}

bool Tee::Pass(int from, int to) {
  char buffer[8192];
  const ssize_t n = read(from, buffer, sizeof buffer);
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  if (n == 0) return false;
  log_.write(buffer, n).flush();
  const std::string text = ForTerminal({buffer, static_cast<size_t>(n)});
  [[maybe_unused]] const ssize_t shown = write(to, text.data(), text.size());
  tail_.append(buffer, static_cast<size_t>(n));
  if (tail_.size() > 2 * kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
  return true;
}

AttemptWatch::AttemptWatch(const JobSpec& job, const rundir::RunLayout& layout, int ranks,
                           rundir::Lease& lease, const SignalSource& signals, NodeWatch* nodes)
    : grace_(job.config.grace),
      in_allocation_(job.config.on == configs::LaunchOn::kAllocation),
      stdout_(job.config.json ? STDERR_FILENO : STDOUT_FILENO),
      layout_(layout),
      attempt_(job.attempt),
      ranks_(ranks),
      lease_(lease),
      signals_(signals),
      nodes_(nodes),
      tee_(layout.node_log(job.attempt, core::HostName())),
      hangs_(job.config.hang_timeout) {}

Ending AttemptWatch::Until(Child& child) {
  pollfd fds[] = {{signals_.fd(), POLLIN, 0},
                  {child.output(), POLLIN, 0},
                  {child.errors(), POLLIN, 0},
                  {nodes_ == nullptr ? -1 : nodes_->fd(), POLLIN, 0}};
  double drained_by = 0;
  while (true) {
    poll(fds, 4, static_cast<int>(kLookSeconds * 1e3));
    while (const int number = signals_.Next()) OnSignal(number, child);
    if (fds[1].revents != 0 && !tee_.Pass(child.output(), stdout_)) fds[1].fd = -1;
    if (fds[2].revents != 0 && !tee_.Pass(child.errors(), STDERR_FILENO)) fds[2].fd = -1;
    const double now = core::MonotonicSeconds();
    if (nodes_ != nullptr) nodes_->Serve(now);
    if (child.HasEnded(&ending_.wait_status)) {
      if (drained_by == 0) drained_by = now + kDrainSeconds;
      if ((fds[1].fd < 0 && fds[2].fd < 0) || now > drained_by) break;
    } else {
      KeepTime(now, child);
    }
  }
  ending_.output_tail = tee_.tail();
  if (nodes_ != nullptr) {
    nodes_->Serve(core::MonotonicSeconds());  // a host that died took its ranks along first
    if (!ending_.unheard) ending_.unheard = Unheard(nodes_->Nodes(core::MonotonicSeconds()));
    nodes_->EndRanks(0);
    nodes_->AwaitEnd(kNodesSeconds);
  }
  return ending_;
}

void AttemptWatch::OnSignal(int number, Child& child) {
  if (number == SIGCHLD) return;
  // Slurm asks more than once (a preemption, then the time limit) and its TERM goes to everybody at
  // the end of a job, whatever was asked before; it insists by KILL.
  if (number != SIGINT && in_allocation_ && ending_.first_signal != 0) return;
  if (ending_.first_signal != 0) {
    if (ending_.second_signal == 0) ending_.second_signal = number;
    core::Log(core::Log::kWarning) << "second signal: killing the run";
    child.Kill();
    return;
  }
  ending_.first_signal = number;
  ending_.grace = grace_;
  if (ending_.hang || ending_.node_lost) return;  // it is being ended
  kill_at_ = core::MonotonicSeconds() + grace_;
  if (!AllListen()) {
    // Passed on now it could be lost between mpirun and the ranks. No step was done yet, since
    // ranks step together: nothing is lost by ending here.
    ending_.in_start_up = true;
    core::Log() << strsignal(number) << ": the ranks were still starting, and end";
    EndRanks(child);
    return;
  }
  core::Log() << strsignal(number) << ": the ranks save at the next step boundary and end; again "
              << "to kill at once";
  child.Signal(SIGUSR1);  // mpirun passes it on to every rank
}

bool AttemptWatch::AllListen() const {
  for (int rank = 0; rank < ranks_; ++rank) {
    if (!fs::exists(layout_.board(attempt_, rank))) return false;
  }
  return true;
}

void AttemptWatch::KeepTime(double now, Child& child) {
  if (now >= renew_at_) {
    renew_at_ = now + kRenewSeconds;
    try {
      lease_.Renew();
    } catch (const core::StorageError& error) {  // a full disk: the ranks may get along with it
      core::Log(core::Log::kWarning) << "the lease is not renewed: " << error.what();
    }
  }
  if (kill_at_ != 0 && now > kill_at_) {
    ending_.grace_over = ending_.grace_over || !(ending_.hang || ending_.node_lost);
    child.Kill();
  }
  if (kill_at_ == 0 && now >= look_at_) {
    look_at_ = now + kLookSeconds;
    LookAtBoards(now, child);
  }
}

std::vector<RankView> AttemptWatch::Views(double now) const {
  static const std::string here = core::HostName();
  std::vector<RankView> views;
  for (int rank = 0; rank < ranks_; ++rank) {
    RankView view;
    const fs::path path = layout_.board(attempt_, rank);
    if (auto board = rundir::ReadBoard(path)) {
      view.where = board->host == here ? RankView::Where::kHere : RankView::Where::kElsewhere;
      view.board = std::move(*board);
    } else if (fs::exists(path)) {  // of another node, whose memory has not come through yet
      view.where = RankView::Where::kElsewhere;
    }
    views.push_back(std::move(view));
  }
  if (nodes_ != nullptr) nodes_->Show(views, now);
  return views;
}

void AttemptWatch::LookAtBoards(double now, Child& child) {
  const std::vector<RankView> views = Views(now);
  for (const Straggler& slow : stragglers_.Look(views)) {
    char text[160];
    std::snprintf(text, sizeof text,
                  "rank %d on %s is slow: busy for %.3g ms a step over %llu steps, the others for "
                  "%.3g ms; they wait for it",
                  slow.rank, views[static_cast<size_t>(slow.rank)].board.host.c_str(),
                  slow.busy * 1e3, static_cast<unsigned long long>(slow.steps), slow.others * 1e3);
    core::Log(core::Log::kWarning) << text;
  }
  if (const auto late = hangs_.Look(views, now)) return EndHang(views, *late, child);
  if (nodes_ != nullptr) LookAtNodes(views, now, child);
}

void AttemptWatch::LookAtNodes(const std::vector<RankView>& views, double now, Child& child) {
  const auto lost = lost_nodes_.Look(nodes_->Nodes(now), views, now);
  if (!lost) return;
  ending_.unheard = lost;
  ending_.node_lost = true;
  core::Log(core::Log::kWarning) << FailureOf(*lost).what << "; the ranks are ended";
  EndAttempt(child);
}

// In a job mpirun does not hear TERM: LaunchPlan::blocked.
void AttemptWatch::EndRanks(Child& child) const { child.Signal(in_allocation_ ? SIGINT : SIGTERM); }

void AttemptWatch::EndHang(const std::vector<RankView>& views, const Late& late, Child& child) {
  if (nodes_ != nullptr) nodes_->AskForProcesses();
  const HangReport report = ReportHang(views, late, child.pid(), [&] {
    return nodes_ == nullptr ? std::map<int, ProcessSight>() : nodes_->Processes(kSightSeconds);
  });
  ending_.hang = report.failure;
  core::Log(core::Log::kWarning) << "the ranks hang, and are ended:\n" << report.table;
  WriteHangReport(layout_.hang(attempt_), report);
  // Where a node is not heard any more, the others most likely wait for it.
  if (nodes_ != nullptr) ending_.unheard = Unheard(nodes_->Nodes(core::MonotonicSeconds()));
  ending_.node_lost = ending_.unheard.has_value();
  EndAttempt(child);
}

// mpirun ends ranks on all nodes, stopped ones too; if it hangs itself, it is killed, and the
// watchers of other nodes kill theirs.
void AttemptWatch::EndAttempt(Child& child) {
  EndRanks(child);
  if (nodes_ != nullptr) nodes_->EndRanks(kEndHangSeconds);
  kill_at_ = core::MonotonicSeconds() + kEndHangSeconds;
}

}  // namespace moat::launch
