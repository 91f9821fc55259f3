// Which node is lost.
#include "launch/lost_node.h"

#include <algorithm>

namespace moat::launch {
namespace {

int Suspicion(const NodeView& node) {
  switch (node.link) {
    case Link::kUnreachable:
      return 3;
    case Link::kBroken:
      return 2;
    case Link::kUp:
      break;
  }
  return node.silent > kSilentSeconds ? 1 : 0;
}

std::string Ranks(const NodeView& node) {
  if (node.ranks == 1) return "rank " + std::to_string(node.first_rank);
  return "ranks " + std::to_string(node.first_rank) + "-" +
         std::to_string(node.first_rank + node.ranks - 1);
}

const char* WhatIsKnown(const NodeView& node) {
  switch (node.link) {
    case Link::kUnreachable:
      return "does not answer: the host or its network is down";
    case Link::kBroken:
      return "is lost: what watched its ranks is gone, as where the host was restarted";
    case Link::kUp:
      break;
  }
  return "is silent: what watches its ranks says nothing any more";
}

}  // namespace

std::optional<NodeView> Unheard(const std::vector<NodeView>& nodes) {
  const auto worst = std::max_element(
      nodes.begin(), nodes.end(),
      [](const NodeView& a, const NodeView& b) { return Suspicion(a) < Suspicion(b); });
  if (worst == nodes.end() || Suspicion(*worst) == 0) return std::nullopt;
  return *worst;
}

rundir::FirstFailure FailureOf(const NodeView& node) {
  return {node.first_rank, node.host,
          "node " + node.host + " (" + Ranks(node) + ") " + WhatIsKnown(node)};
}

std::optional<NodeView> LostNodeWatch::Look(const std::vector<NodeView>& nodes,
                                            const std::vector<RankView>& ranks, double now) {
  standstill_ += looked_at_ ? std::min(now - *looked_at_, kLongestLook) : 0;
  looked_at_ = now;
  phases_.resize(ranks.size());
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    if (ranks[rank].where != RankView::Where::kHere) continue;
    if (ranks[rank].board.phases == phases_[rank]) continue;
    phases_[rank] = ranks[rank].board.phases;
    standstill_ = 0;
  }
  const auto worst = Unheard(nodes);
  if (!worst || worst->link != Link::kUnreachable || standstill_ < kStandstillSeconds) {
    return std::nullopt;
  }
  return worst;
}

}  // namespace moat::launch
