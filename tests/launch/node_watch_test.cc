// The supervisor's side against peers of every kind, and against a real watcher, over loopback.
#include "launch/node_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "core/clock.h"
#include "core/durable_file.h"
#include "core/host.h"
#include "launch/node_watcher.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace moat::launch {
namespace {

using moat::testing::Eventually;
using Where = RankView::Where;

class NodeWatchTest : public ::testing::Test {
 protected:
  // A peer that says so, without waiting for an answer.
  Socket Say(const std::string& text) {
    Socket socket = Connect("127.0.0.1", watch_.invitation().port, 5);
    EXPECT_TRUE(socket.open());
    EXPECT_EQ(Send(socket, text), static_cast<long>(text.size()));
    return socket;
  }
  std::string Token() const { return watch_.invitation().token + "\n"; }
  bool Served(const std::function<bool()>& so) {
    return Eventually(10, [&] {
      watch_.Serve(core::MonotonicSeconds());
      return so();
    });
  }
  // Whether the other side has closed; what it said until then.
  bool Closed(const Socket& socket, std::string* said) {
    return Served([&] { return Receive(socket, 1000, said) != Link::kUp; });
  }
  std::vector<RankView> Shown() {
    std::vector<RankView> ranks(4);
    watch_.Show(ranks, core::MonotonicSeconds());
    return ranks;
  }
  std::string News(int rank) {
    NodeNews news{"n2", 2, 2, core::MonotonicSeconds(), {}, {}};
    news.boards[rank].step = 12;
    return ToLine(news);
  }

  NodeWatch watch_{4, 2};
};

TEST_F(NodeWatchTest, AWrongTokenIsClosedWithoutAnAnswer) {
  std::string said;
  const Socket wrong = Say(std::string(kTokenBytes, '0') + "\n" + News(2));
  EXPECT_TRUE(Closed(wrong, &said));
  EXPECT_EQ(said, "");
  EXPECT_EQ(watch_.refused(), 1);
  EXPECT_EQ(Shown()[2].where, Where::kAbsent);
}

TEST_F(NodeWatchTest, APeerThatDoesNotSayItsTokenInTimeIsClosed) {
  std::string said;
  const Socket slow = Say(Token().substr(0, 5));
  watch_.Serve(core::MonotonicSeconds());
  EXPECT_EQ(watch_.refused(), 0);
  watch_.Serve(core::MonotonicSeconds() + kTokenSeconds + 1);
  EXPECT_EQ(watch_.refused(), 1);
  EXPECT_TRUE(Closed(slow, &said));
}

TEST_F(NodeWatchTest, HalfLinesArePutTogether) {
  const std::string text = Token() + News(2);
  const Socket peer = Say(text.substr(0, 20));
  watch_.Serve(core::MonotonicSeconds());
  Send(peer, text.substr(20, 60));
  watch_.Serve(core::MonotonicSeconds());
  EXPECT_EQ(Shown()[2].where, Where::kAbsent);
  Send(peer, text.substr(80));
  ASSERT_TRUE(Served([&] { return Shown()[2].where == Where::kHere; }));
  EXPECT_EQ(Shown()[2].board.step, 12);
  EXPECT_EQ(Shown()[2].board.host, "n2");
}

TEST_F(NodeWatchTest, ALineThatIsTooLongEndsTheConnection) {
  const Socket peer = Say(Token());
  const std::string piece(60000, 'x');
  EXPECT_TRUE(Served([&] { return Send(peer, piece) < 0; }));
  EXPECT_EQ(watch_.refused(), 1);
}

TEST_F(NodeWatchTest, ANodeThatWasHeardIsSilentThenGone) {
  {
    const Socket peer = Say(Token() + News(3));
    ASSERT_TRUE(Served([&] { return Shown()[3].where == Where::kHere; }));
    const double later = core::MonotonicSeconds() + kSilentSeconds + 1;
    std::vector<RankView> ranks(4);
    watch_.Show(ranks, later);
    EXPECT_EQ(ranks[3].where, Where::kAbsent);
    EXPECT_GT(watch_.Nodes(later).at(0).silent, kSilentSeconds);
  }
  const auto link = [&] { return watch_.Nodes(core::MonotonicSeconds()).at(0).link; };
  ASSERT_TRUE(Served([&] { return link() == Link::kBroken; }));
  const Socket again = Say(Token() + News(3));
  EXPECT_TRUE(Served([&] { return link() == Link::kUp; }));
}

// Ranks of two nodes, one of them shown by its watcher: the same judgement as on one.
TEST_F(NodeWatchTest, ARankOfAnotherNodeIsJudgedLikeOneOfThis) {
  const Socket peer = Say(Token() + News(3));
  ASSERT_TRUE(Served([&] { return Shown()[3].where == Where::kHere; }));
  std::vector<RankView> ranks = Shown();
  for (RankView& rank : ranks) rank = {Where::kHere, ranks[3].board};
  ranks[0].board.groups = {{"data", "all_reduce", 1, 7, true, 0}};
  ranks[1] = ranks[2] = ranks[0];
  HangWatch watch(5);
  for (int now = 0; now <= 5; ++now) EXPECT_FALSE(watch.Look(ranks, now));
  EXPECT_TRUE(watch.Look(ranks, 6));
  std::vector<Suspect> suspects;
  for (int rank = 0; rank < 4; ++rank) {
    suspects.push_back({rank, ranks[static_cast<size_t>(rank)], rank == 3 ? 'T' : 'S'});
  }
  EXPECT_EQ(Culprit(suspects), 3);
}

// A real watcher, whose supervisor seems to be on another host.
class NodeWatcherTest : public NodeWatchTest {
 protected:
  NodeWatcherTest() {
    core::MakeDirectories(layout_.logs(0));
    invitation_ = watch_.invitation();
    invitation_.addresses = {"127.0.0.1"};
  }
  void Start() {
    watcher_ = std::thread([this] { NodeWatcher(invitation_, {0, layout_.root}, 2).Run(); });
  }
  // Makes a board of this process one of another, which may be killed.
  static void PretendToBe(pid_t process, const std::filesystem::path& path) {
    const std::string bytes = core::ReadWholeFile(path);
    const auto own = static_cast<int64_t>(getpid()), other = static_cast<int64_t>(process);
    const size_t at = bytes.find(std::string_view(reinterpret_cast<const char*>(&own), sizeof own));
    ASSERT_NE(at, std::string::npos);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<long>(at));
    file.write(reinterpret_cast<const char*>(&other), sizeof other);
  }
  static bool Sleeps(pid_t process) {
    std::ifstream file("/proc/" + std::to_string(process) + "/stat");
    std::string id, name, state;
    return file >> id >> name >> state && name == "(sleep)" && state == "S";
  }
  ~NodeWatcherTest() override {
    if (!watcher_.joinable()) return;
    watch_.EndRanks(0);
    watcher_.join();
  }

  testing::TemporaryDirectory directory_;
  rundir::RunLayout layout_{directory_ / "r"};
  Invitation invitation_;
  std::thread watcher_;
};

TEST_F(NodeWatcherTest, ShowsItsRanksAnswersAndEndsWhenTheAttemptIsOver) {
  rundir::BoardWriter board(layout_.board(0, 3));
  board.EnterPhase(rundir::Phase::kStep, 5);
  PretendToBe(0, layout_.board(0, 3));  // nobody
  Start();
  ASSERT_TRUE(Served([&] { return Shown()[3].where == Where::kHere; }));
  EXPECT_EQ(Shown()[3].board.text(), "step, step 5");
  EXPECT_NEAR(Shown()[3].board.phase_began, core::MonotonicSeconds(), 10);
  board.EnterPhase(rundir::Phase::kSaving, 6);
  EXPECT_TRUE(Served([&] { return Shown()[3].board.phase == rundir::Phase::kSaving; }));
  const NodeView node = watch_.Nodes(core::MonotonicSeconds()).at(0);
  EXPECT_EQ(node.host, core::HostName());
  EXPECT_EQ(node.first_rank, 2);
  watch_.EndRanks(0);
  watch_.AwaitEnd(5);
}

TEST_F(NodeWatcherTest, KillsWhatIsLeftWhenToldAndNothingElse) {
  testing::Process rank({"sleep", "100"}, directory_ / "rank");
  testing::Process other({"sleep", "100"}, directory_ / "other");
  rundir::BoardWriter board(layout_.board(0, 2));
  PretendToBe(rank.pid(), layout_.board(0, 2));
  Start();
  ASSERT_TRUE(Served([&] { return Shown()[2].where == Where::kHere && Sleeps(rank.pid()); }));
  watch_.AskForProcesses();
  const auto processes = watch_.Processes(15);
  ASSERT_EQ(processes.count(2), 1u);
  EXPECT_EQ(processes.at(2).state, 'S');
  EXPECT_THAT(processes.at(2).stacks, ::testing::HasSubstr("waits in"));
  watch_.EndRanks(0);
  watch_.AwaitEnd(5);
  EXPECT_EQ(rank.Wait(5), 128 + SIGKILL);
  EXPECT_NE(core::ProcessStart(other.pid()), 0u);
}

}  // namespace
}  // namespace moat::launch
