// What supervisor and watchers say: there and back, and whatever else comes.
#include "launch/node_protocol.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace moat::launch {
namespace {

NodeNews News() {
  NodeNews news{"n2", 2, 2, 100.5, {}, {}};
  rundir::BoardSnapshot& board = news.boards[3];
  board.phase = rundir::Phase::kSaving;
  board.step = 12;
  board.pid = 77;
  board.phases = 40;
  board.phase_began = 99.25;
  board.longest[2] = 0.5;
  board.groups = {{"data", "all_reduce", 4096, 345, true, 99.5}};
  return news;
}

TEST(NodeProtocol, ABoardComesOverAsItIs) {
  const NodeNews got = NodeNewsOf(ToLine(News()), 4);
  const rundir::BoardSnapshot& board = got.boards.at(3);
  EXPECT_EQ(board.text(), "saving, step 12, in data all_reduce(4096) 345");
  EXPECT_EQ(board.host, "n2");
  EXPECT_EQ(board.pid, 77);
  EXPECT_EQ(board.phases, 40u);
  EXPECT_EQ(board.longest[2], 0.5);
  EXPECT_FALSE(got.processes);
  const rundir::BoardSnapshot ours = OnOurClock(board, 1000 - got.now);
  EXPECT_EQ(ours.phase_began, 998.75);
  EXPECT_EQ(ours.groups[0].changed_at, 999);
}

TEST(NodeProtocol, StacksMayHoldAnyBytes) {
  NodeNews news = News();
  news.processes = {{2, {'T', "#0 \xff\n\"x\""}}};
  const std::string line = ToLine(news);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const NodeNews got = NodeNewsOf(line, 4);
  EXPECT_EQ(got.processes->at(2).state, 'T');
  EXPECT_NE(got.processes->at(2).stacks.find("\n\"x\""), std::string::npos);
}

TEST(NodeProtocol, RefusesWhatIsNoMessage) {
  for (const std::string line :
       {"", "{", "[]", "{}", "GET / HTTP/1.1", "{\"host\":1}", "\xff\xfe", "null"}) {
    EXPECT_THROW(NodeNewsOf(line, 4), core::DataError) << line;
    EXPECT_THROW(NodeOrderOf(line), core::DataError) << line;
  }
  EXPECT_THROW(NodeNewsOf(ToLine(News()), 3), core::DataError);  // rank 3 of 3
}

TEST(NodeProtocol, OrdersComeOver) {
  const NodeOrder order = NodeOrderOf(ToLine(NodeOrder{NodeOrder::What::kEnd, 2.5}));
  EXPECT_EQ(order.what, NodeOrder::What::kEnd);
  EXPECT_EQ(order.seconds, 2.5);
}

TEST(Invitation, IsReadBackAndHalfOfOneIsNone) {
  const Invitation invitation{"n1", 40123, 4, std::string(kTokenBytes, 'a'), {"10.0.0.1", "fd::1"}};
  const std::string text = ToText(invitation);
  EXPECT_EQ(InvitationOf(text), invitation);
  for (const std::string& none : {std::string(), std::string("n1 40123"), text.substr(0, 20)}) {
    EXPECT_FALSE(InvitationOf(none)) << none;
  }
}

TEST(SameSecret, IsEqualityOfAllBytes) {
  EXPECT_TRUE(SameSecret("abc", "abc"));
  EXPECT_FALSE(SameSecret("abc", "abd"));
  EXPECT_FALSE(SameSecret("abc", "xbc"));
  EXPECT_FALSE(SameSecret("abc", "ab"));
  EXPECT_FALSE(SameSecret("abc", ""));
}

TEST(LineBuffer, GivesWholeLinesOnly) {
  LineBuffer lines(8);
  lines.Add("on");
  EXPECT_FALSE(lines.Next());
  lines.Add("e\ntwo\nthr");
  EXPECT_EQ(lines.Next(), "one");
  EXPECT_EQ(lines.Next(), "two");
  EXPECT_FALSE(lines.Next());
  lines.Add("ee and more");
  EXPECT_THROW(lines.Next(), core::DataError);
}

}  // namespace
}  // namespace moat::launch
