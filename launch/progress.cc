// How far a run is.
#include "launch/progress.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "core/clock.h"
#include "core/host.h"
#include "core/units.h"
#include "launch/hang.h"
#include "rundir/board.h"

namespace moat::launch {
namespace {

// The ranks of an attempt that are on this node, as their boards show them.
std::vector<Suspect> RanksHere(const rundir::RunLayout& layout, int attempt) {
  std::vector<Suspect> ranks;
  for (int rank = 0; std::filesystem::exists(layout.board(attempt, rank)); ++rank) {
    const auto board = rundir::ReadBoard(layout.board(attempt, rank));
    if (!board || board->host != core::HostName()) continue;
    ranks.push_back({rank, {RankView::Where::kHere, *board}});
  }
  return ranks;
}

// What a running run does just now: ", rank 0 in its phase 'step' for 2.0s", and where ranks wait
// in a collective for one that is not there, for whom. "" where no board can be seen.
std::string Doing(const std::vector<Suspect>& ranks, double now) {
  const auto for_seconds = [&](double since) {
    return " for " + core::FormatSeconds(std::max(0.0, now - since));
  };
  std::string text;
  if (ranks.empty()) return text;
  const rundir::BoardSnapshot& first = ranks.front().view.board;
  text = ", rank " + std::to_string(ranks.front().rank) + " in its phase '" +
         rundir::Name(first.phase) + "'" + for_seconds(first.phase_began);
  const auto missing = Culprit(ranks);
  for (const Suspect& one : ranks) {
    if (!missing) break;
    for (const rundir::BoardGroup& group : one.view.board.groups) {
      if (one.rank == *missing || !group.inside) continue;
      return text + "; rank " + std::to_string(one.rank) + " waits for rank " +
             std::to_string(*missing) + " in " + group.text() + for_seconds(group.changed_at);
    }
  }
  return text;
}

}  // namespace

std::string Progress(const RunSummary& run, const rundir::RunLayout& layout) {
  if (run.outcome.state == rundir::RunState::kQueued) {
    return "it waits for its turn" + (run.job ? ": " + Describe(*run.job) : std::string());
  }
  std::string text = "it runs: step " + std::to_string(run.step);
  if (run.target) text += " of " + std::to_string(*run.target);
  if (run.last) {
    char loss[64];
    std::snprintf(loss, sizeof loss, ", loss %.4f", run.last->loss);
    text += loss;
  }
  text += Doing(RanksHere(layout, run.outcome.attempts - 1), core::MonotonicSeconds());
  return text + "; there is nothing to explain yet";
}

}  // namespace moat::launch
