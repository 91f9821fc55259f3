// The report of a hang.
#include "launch/hang_report.h"

#include <algorithm>
#include <cstdio>

#include "core/clock.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/host.h"
#include "core/logging.h"
#include "launch/process_sight.h"

namespace moat::launch {
namespace {

constexpr size_t kMostStacks = 32;  // in the report
constexpr double kLauncherSeconds = 5;

std::string Seconds(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", seconds);
  return text;
}

std::string Line(const Suspect& suspect, double now) {
  const std::string name = "rank " + std::to_string(suspect.rank);
  switch (suspect.view.where) {
    case RankView::Where::kAbsent:
      return name + ": has not started yet";
    case RankView::Where::kElsewhere:
      return name + (suspect.view.board.host.empty() ? "" : " on " + suspect.view.board.host) +
             ": on another node, and cannot be seen from here";
    case RankView::Where::kHere:
      break;
  }
  const rundir::BoardSnapshot& board = suspect.view.board;
  return name + " on " + board.host + ": process " + std::to_string(board.pid) + " " +
         StateText(suspect.state) + "; " + board.text() + "; in this phase for " +
         Seconds(now - board.phase_began);
}

std::map<int, ProcessSight> LookAtAll(const std::vector<RankView>& views,
                                      const OtherNodes& others) {
  std::map<int, pid_t> here;
  for (size_t rank = 0; rank < views.size(); ++rank) {
    if (views[rank].where != RankView::Where::kHere) continue;
    if (views[rank].board.host != core::HostName()) continue;
    here[static_cast<int>(rank)] = static_cast<pid_t>(views[rank].board.pid);
  }
  std::map<int, ProcessSight> sights = LookAt(here);
  sights.merge(others());
  return sights;
}

std::vector<Suspect> SuspectsOf(const std::vector<RankView>& views,
                                const std::map<int, ProcessSight>& sights) {
  std::vector<Suspect> suspects;
  for (size_t rank = 0; rank < views.size(); ++rank) {
    const auto sight = sights.find(static_cast<int>(rank));
    suspects.push_back(
        {static_cast<int>(rank), views[rank], sight == sights.end() ? '?' : sight->second.state});
  }
  return suspects;
}

rundir::FirstFailure FailureOf(const std::vector<Suspect>& suspects,
                               const std::optional<int>& culprit, const Late& late) {
  const Suspect& noticed = suspects[static_cast<size_t>(culprit.value_or(late.rank))];
  const bool here = noticed.view.where == RankView::Where::kHere;
  const std::string phase = here ? rundir::Name(noticed.view.board.phase) : "starting";
  std::string what = "hung: not through with phase '" + phase + "' after " + Seconds(late.seconds) +
                     " (allowed: " + Seconds(late.bound) + ")";
  if (!culprit) {
    what += "; the ranks wait for each other in collectives:";
    for (const Suspect& suspect : suspects) {
      if (suspect.view.where != RankView::Where::kHere) continue;
      what += " rank " + std::to_string(suspect.rank) + ": " + suspect.view.board.text() + ";";
    }
    return {-1, noticed.view.board.host, what + " where these match, look at the other nodes"};
  }
  if (here)
    what += "; its process " + std::string(StateText(noticed.state)) + "; it was at " +
            noticed.view.board.text();
  return {*culprit, here ? noticed.view.board.host : core::HostName(), what};
}

std::string Titled(const std::string& title, int64_t pid, const std::string& stacks) {
  return "== " + title + ", process " + std::to_string(pid) + "\n" + stacks + "\n";
}

std::string StacksOfAll(const std::vector<Suspect>& suspects,
                        const std::map<int, ProcessSight>& sights, pid_t launcher) {
  std::string text;
  size_t taken = 0;
  bool absent = false;
  for (const Suspect& suspect : suspects) {
    absent = absent || suspect.view.where == RankView::Where::kAbsent;
    const auto sight = sights.find(suspect.rank);
    if (sight == sights.end() || sight->second.stacks.empty() || taken++ >= kMostStacks) continue;
    const rundir::BoardSnapshot& board = suspect.view.board;
    text += Titled("rank " + std::to_string(suspect.rank) + " on " + board.host, board.pid,
                   sight->second.stacks);
  }
  if (absent) text += Titled("the launcher", launcher, StacksOf(launcher, kLauncherSeconds));
  return text;
}

}  // namespace

HangReport ReportHang(const std::vector<RankView>& views, const Late& late, pid_t launcher,
                      const OtherNodes& others) {
  const std::map<int, ProcessSight> sights = LookAtAll(views, others);
  std::vector<Suspect> suspects = SuspectsOf(views, sights);
  const std::optional<int> culprit = Culprit(suspects);
  HangReport report;
  report.failure = FailureOf(suspects, culprit, late);
  if (culprit)
    std::rotate(suspects.begin(), suspects.begin() + *culprit, suspects.begin() + *culprit + 1);
  const double now = core::MonotonicSeconds();
  for (const Suspect& suspect : suspects) report.table += Line(suspect, now) + "\n";
  report.stacks = StacksOfAll(suspects, sights, launcher);
  return report;
}

void WriteHangReport(const std::filesystem::path& path, const HangReport& report) {
  try {
    core::WriteFileAtomically(path, report.table + "\n" + report.stacks);
  } catch (const core::StorageError& error) {
    core::Log(core::Log::kWarning) << "the stacks of the hang are not kept: " << error.what();
  }
}

}  // namespace moat::launch
