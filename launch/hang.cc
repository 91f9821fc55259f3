// Whether a rank hangs, and which one.
#include "launch/hang.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace moat::launch {
namespace {

bool IsStoppedOrGone(const Suspect& suspect) {
  return suspect.state == '-' || suspect.state == 'T' || suspect.state == 't' ||
         suspect.state == 'Z';
}

PhaseSeconds LongestOf(const std::vector<RankView>& ranks) {
  PhaseSeconds longest{};
  for (const RankView& rank : ranks) {
    if (rank.where != RankView::Where::kHere) continue;
    for (size_t i = 0; i < longest.size(); ++i) {
      longest[i] = std::max(longest[i], rank.board.longest[i]);
    }
  }
  return longest;
}

}  // namespace

double PhaseBound(const RankView& rank, const PhaseSeconds& longest, double fixed) {
  if (rank.where == RankView::Where::kAbsent) return std::max(kStartBound, fixed);
  if (fixed > 0) return fixed;
  if (rank.board.phase == rundir::Phase::kStarting) return kStartBound;
  const double seconds = longest[static_cast<size_t>(rank.board.phase)];
  if (seconds <= 0) return std::numeric_limits<double>::infinity();
  return std::max(kLeastPhaseBound, kSlowestPhaseTimes * seconds);
}

std::optional<Late> HangWatch::Look(const std::vector<RankView>& ranks, double now) {
  const double passed = looked_at_ ? std::min(now - *looked_at_, kLongestLook) : 0;
  looked_at_ = now;
  const PhaseSeconds longest = LongestOf(ranks);
  seen_.resize(ranks.size());
  std::optional<Late> worst;
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const RankView& view = ranks[rank];
    Seen& seen = seen_[rank];
    const uint64_t phases = view.where == RankView::Where::kHere ? view.board.phases : 0;
    seen = phases == seen.phases ? Seen{phases, seen.seconds + passed} : Seen{phases, 0};
    if (view.where == RankView::Where::kElsewhere) continue;
    const Late late{static_cast<int>(rank), seen.seconds, PhaseBound(view, longest, fixed_)};
    if (late.seconds <= late.bound) continue;
    if (!worst || late.seconds - late.bound > worst->seconds - worst->bound) worst = late;
  }
  return worst;
}

std::optional<int> Culprit(const std::vector<Suspect>& suspects) {
  std::optional<std::tuple<bool, int64_t, int>> first;
  for (const Suspect& suspect : suspects) {
    if (suspect.view.where == RankView::Where::kElsewhere) continue;
    const bool dead = IsStoppedOrGone(suspect);
    if (!dead && suspect.view.board.inside_collective()) continue;
    const std::tuple<bool, int64_t, int> key{!dead, suspect.view.board.step, suspect.rank};
    if (!first || key < *first) first = key;
  }
  return first ? std::optional(std::get<2>(*first)) : std::nullopt;
}

}  // namespace moat::launch
