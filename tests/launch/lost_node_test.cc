// Which node is lost, by what is heard of it and what ranks do: pure.
#include "launch/lost_node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace moat::launch {
namespace {

NodeView Node(const std::string& host, Link link, double silent = 0) {
  return {host, "10.0.0.9", 1, 2, link, silent};
}

std::vector<RankView> Ranks(uint64_t phases) {
  RankView view{RankView::Where::kHere, {}};
  view.board.phases = phases;
  return {view, {RankView::Where::kElsewhere, {}}};
}

TEST(LostNodeWatch, AHostThatDoesNotAnswerIsLostOnceNobodyGoesOn) {
  LostNodeWatch watch;
  const std::vector<NodeView> nodes = {Node("n2", Link::kUnreachable)};
  for (int now = 0; now < 10; ++now) EXPECT_FALSE(watch.Look(nodes, Ranks(7), now)) << now;
  EXPECT_FALSE(watch.Look(nodes, Ranks(8), 10));  // a rank goes on
  for (int now = 11; now < 20; ++now) EXPECT_FALSE(watch.Look(nodes, Ranks(8), now)) << now;
  ASSERT_TRUE(watch.Look(nodes, Ranks(8), 20));
  EXPECT_EQ(watch.Look(nodes, Ranks(8), 20)->host, "n2");
}

TEST(LostNodeWatch, AWatcherThatIsGoneOrSilentProvesNothing) {
  LostNodeWatch watch;
  for (int now = 0; now < 100; ++now) {
    EXPECT_FALSE(watch.Look({Node("n2", Link::kBroken), Node("n3", Link::kUp, 50)}, Ranks(7), now));
  }
}

TEST(LostNodeWatch, TimeInWhichNobodyLookedDoesNotCount) {
  LostNodeWatch watch;
  const std::vector<NodeView> nodes = {Node("n2", Link::kUnreachable)};
  EXPECT_FALSE(watch.Look(nodes, Ranks(7), 0));
  EXPECT_FALSE(watch.Look(nodes, Ranks(7), 3600));
}

TEST(Unheard, IsTheNodeThatIsWorstOff) {
  EXPECT_FALSE(Unheard({Node("n1", Link::kUp, 1.5)}));
  EXPECT_EQ(Unheard({Node("n1", Link::kUp), Node("n2", Link::kUp, 3)})->host, "n2");
  EXPECT_EQ(Unheard({Node("n1", Link::kBroken), Node("n2", Link::kUp, 3)})->host, "n1");
  EXPECT_EQ(Unheard({Node("n1", Link::kBroken), Node("n2", Link::kUnreachable)})->host, "n2");
}

TEST(FailureOf, NamesHostAndRanks) {
  const rundir::FirstFailure failure = FailureOf(Node("n2", Link::kUnreachable));
  EXPECT_EQ(failure.rank, 1);
  EXPECT_EQ(failure.host, "n2");
  EXPECT_THAT(failure.what, ::testing::HasSubstr("node n2 (ranks 1-2) does not answer"));
}

}  // namespace
}  // namespace moat::launch
