// Naming slow ranks.
#include "launch/stragglers.h"

#include <algorithm>

namespace moat::launch {
namespace {

double MedianOfOthers(std::vector<double> values, size_t without) {
  values.erase(values.begin() + static_cast<long>(without));
  const auto middle = values.begin() + static_cast<long>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

std::vector<Straggler> StragglerWatch::Look(const std::vector<RankView>& ranks) {
  marks_.resize(ranks.size());
  if (ranks.size() < 2) return {};
  double busiest = 0;
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    if (ranks[rank].where != RankView::Where::kHere) return {};
    if (ranks[rank].board.steps < marks_[rank].steps + kStragglerWindow) return {};
    busiest = std::max(busiest, ranks[rank].board.busy_seconds - marks_[rank].busy);
  }
  if (busiest < kStragglerWindowSeconds) return {};

  std::vector<double> busy;  // a step
  std::vector<uint64_t> steps;
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    Mark& mark = marks_[rank];
    const rundir::BoardSnapshot& board = ranks[rank].board;
    steps.push_back(board.steps - mark.steps);
    busy.push_back((board.busy_seconds - mark.busy) / static_cast<double>(steps.back()));
    mark.steps = board.steps;
    mark.busy = board.busy_seconds;
  }
  std::vector<Straggler> found;
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    Mark& mark = marks_[rank];
    const double others = MedianOfOthers(busy, rank);
    const bool slow = busy[rank] > kStragglerTimes * others;
    mark.slow_windows = slow ? mark.slow_windows + 1 : 0;
    mark.slow_steps = slow ? mark.slow_steps + steps[rank] : 0;
    if (mark.slow_windows < kStragglerWindows || mark.named) continue;
    mark.named = true;
    found.push_back({static_cast<int>(rank), busy[rank], others, mark.slow_steps});
  }
  return found;
}

}  // namespace moat::launch
