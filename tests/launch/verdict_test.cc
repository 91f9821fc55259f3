// How an attempt is judged, for each way it may end.
#include "launch/verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

namespace moat::launch {
namespace {

using core::ExitCode;
using rundir::RunState;

int Exited(int code) { return code << 8; }

struct Case {
  std::string name;
  Ending ending;
  int exit_code;
  RunState state;
};

rundir::Failure By(int rank, ExitCode code) { return {rank, "h", code, "w", 4, 1}; }
// Of mpirun: what it exited with and printed; what a rank said; what was asked for.
Ending End(int wait_status, const std::string& output = "",
           std::vector<rundir::Failure> failures = {}, std::optional<rundir::Result> result = {},
           int first = 0, int second = 0, bool grace_over = false) {
  return {wait_status, output, std::move(failures), result, first, second, grace_over, 60,
          0,           false};
}

rundir::Result Result(ExitCode code) { return {code, 9}; }

TEST(Judge, EveryWayToEnd) {
  const std::string killed =
      "mpirun noticed that process rank 3 with PID 71 on node n7 exited on signal 9 (Killed).";
  const Case cases[] = {
      {"done", End(Exited(0), "", {}, Result(ExitCode::kOk)), 0, RunState::kDone},
      {"done although asked to stop", End(Exited(0), "", {}, Result(ExitCode::kOk), SIGTERM), 0,
       RunState::kDone},
      {"preempted", End(Exited(1), "", {}, Result(ExitCode::kPreempted), SIGTERM), 75,
       RunState::kPreempted},
      {"interrupted: the ranks only see USR1",
       End(Exited(1), "", {}, Result(ExitCode::kPreempted), SIGINT), 78, RunState::kStopped},
      {"a rank was told directly", End(Exited(75), "", {}, Result(ExitCode::kPreempted)), 75,
       RunState::kPreempted},
      {"a rank failed while stopping",
       End(Exited(1), "", {By(1, ExitCode::kStorage)}, std::nullopt, SIGTERM), 74,
       RunState::kFailed},
      {"a failure beats a result",
       End(Exited(1), "", {By(1, ExitCode::kBug)}, Result(ExitCode::kOk)), 70, RunState::kFailed},
      {"a rank was killed", End(Exited(137), killed), 76, RunState::kFailed},
      {"a rank crashed", End(Exited(139), ""), 70, RunState::kFailed},
      {"asked before a rank could listen", End(Exited(138), "", {}, {}, SIGINT), 78,
       RunState::kStopped},
      {"asked before mpirun could listen", End(SIGUSR1, "", {}, {}, SIGTERM), 75,
       RunState::kPreempted},
      {"mpirun was faster than rank 0's word", End(Exited(75), "", {}, {}, SIGINT), 78,
       RunState::kStopped},
      {"mpirun was killed", End(SIGKILL, ""), 76, RunState::kFailed},
      {"a documented code without a word", End(Exited(71), ""), 71, RunState::kFailed},
      {"not a word", End(Exited(0), ""), 70, RunState::kFailed},
      {"no slots", End(Exited(1), "There are not enough slots available"), 2, RunState::kFailed},
      {"no program", End(Exited(132), "it could not access\nor execute an executable:\n"), 2,
       RunState::kFailed},
      {"mpirun's own trouble", End(Exited(1), ""), 70, RunState::kFailed},
      {"second signal", End(SIGKILL, "", {}, {}, SIGTERM, SIGINT), 130, RunState::kPreempted},
      {"grace over", End(SIGKILL, "", {}, {}, SIGTERM, 0, true), 76, RunState::kFailed},
      {"grace over after Ctrl-C", End(SIGKILL, "", {}, {}, SIGINT, 0, true), 78,
       RunState::kStopped},
  };
  for (const Case& c : cases) {
    const Verdict verdict = Judge(c.ending);
    EXPECT_EQ(verdict.exit_code, c.exit_code) << c.name;
    EXPECT_EQ(verdict.state, c.state) << c.name;
  }
}

TEST(Judge, ARankThatTheKernelKilledForLackOfMemoryIsOutOfMemory) {
  Ending ending = End(Exited(137));
  EXPECT_EQ(Judge(ending).exit_code, 76);
  ending.out_of_memory_kills = 1;
  EXPECT_EQ(Judge(ending).exit_code, 71);
  ending.wait_status = Exited(139);  // a crash is one all the same
  EXPECT_EQ(Judge(ending).exit_code, 70);
}

TEST(Judge, AHangIsWhatTheSupervisorSawUnlessARankSaysMore) {
  Ending ending = End(Exited(1));
  ending.hang = rundir::FirstFailure{1, "n7", "hung"};
  const Verdict hung = Judge(ending);
  EXPECT_EQ(hung.exit_code, 76);
  EXPECT_EQ(hung.error_class, "hang");
  EXPECT_EQ(hung.first_failure->rank, 1);
  ending.failures = {By(0, ExitCode::kPeer)};  // it waited for the one that hung
  EXPECT_EQ(Judge(ending).error_class, "hang");
  ending.failures = {By(0, ExitCode::kOutOfMemory)};  // and hung the others
  EXPECT_EQ(Judge(ending).exit_code, 71);
}

TEST(Judge, ARequestInStartUpLosesNothing) {
  Ending ending = End(Exited(1), "", {}, {}, SIGTERM);
  ending.in_start_up = true;
  EXPECT_EQ(Judge(ending).exit_code, 75);
  ending.grace_over = true;
  EXPECT_EQ(Judge(ending).exit_code, 75);
  ending.second_signal = SIGTERM;
  EXPECT_EQ(Judge(ending).exit_code, 128 + SIGTERM);
}

TEST(Judge, NamesTheRankThatDidNotCome) {
  rundir::Failure waited = By(0, ExitCode::kPeer);
  waited.failed = core::FailedRank{2, "n9"};
  const Verdict verdict = Judge(End(Exited(76), "", {waited}));
  ASSERT_TRUE(verdict.first_failure);
  EXPECT_EQ(verdict.first_failure->rank, 2);
  EXPECT_EQ(verdict.first_failure->host, "n9");
}

TEST(Judge, MemoryThatIsTooShortForOneRankIsThatRanksWhoeverSaysSo) {
  rundir::Failure told = By(0, ExitCode::kOutOfMemory);
  told.failed = core::FailedRank{3, "n9"};
  const Verdict verdict = Judge(End(Exited(71), "", {told, By(3, ExitCode::kOutOfMemory)}));
  EXPECT_EQ(verdict.exit_code, 71);
  EXPECT_EQ(verdict.first_failure->rank, 3);
  EXPECT_EQ(verdict.first_failure->host, "n9");
}

TEST(Judge, WhereNoFailureFileCouldBeWrittenTheOutputTells) {
  const Verdict verdict = Judge(End(Exited(74), "step 3\nmoat: error: the disk is full\nmore\n"));
  EXPECT_EQ(verdict.exit_code, 74);
  EXPECT_THAT(verdict.first_failure->what, ::testing::HasSubstr("it said: the disk is full"));
}

TEST(Judge, NamesTheRankThatMpirunNames) {
  const Verdict verdict =
      Judge(End(Exited(137), "process rank 3 with PID 71 on node n7 exited on signal 9 (Killed)."));
  ASSERT_TRUE(verdict.first_failure);
  EXPECT_EQ(verdict.first_failure->rank, 3);
  EXPECT_EQ(verdict.first_failure->host, "n7");
  EXPECT_THAT(verdict.first_failure->what, ::testing::HasSubstr("signal 9"));
}

TEST(Judge, WhereMpirunNamesNobodyTheRankThatWasNotAskedToEndDiedFirst) {
  using Requests = std::vector<std::optional<uint32_t>>;
  const std::pair<Requests, int> cases[] = {
      {{1, 0, 1, 1}, 1}, {{2, 2, 2, 1}, 3},  // killed while all saved
      {{0}, 0},          {{1, 0, 1, 0}, -1}, {{1, 1}, -1}, {{1, std::nullopt}, -1}, {{}, -1},
  };
  for (const auto& [requests, rank] : cases) {
    Ending ending = End(Exited(137));
    ending.requests = requests;
    ending.hosts = std::vector<std::string>(requests.size(), "n2");
    const Verdict verdict = Judge(ending);
    EXPECT_EQ(verdict.exit_code, 76);
    EXPECT_EQ(verdict.first_failure->rank, rank);
    EXPECT_EQ(verdict.first_failure->host, rank < 0 ? "" : "n2");
  }
}

NodeView Node(Link link) { return {"n2", "10.0.0.2", 4, 4, link, 0}; }

TEST(Judge, ALostNodeIsALostPeerThatIsNamed) {
  Ending ending = End(Exited(1), "", {By(0, ExitCode::kPeer)});
  ending.unheard = Node(Link::kUnreachable);
  ending.node_lost = true;
  const Verdict verdict = Judge(ending);
  EXPECT_EQ(verdict.exit_code, 76);
  EXPECT_EQ(verdict.error_class, "peer");
  EXPECT_EQ(verdict.first_failure->rank, 4);
  EXPECT_EQ(verdict.first_failure->host, "n2");
  EXPECT_THAT(verdict.first_failure->what, ::testing::HasSubstr("node n2 (ranks 4-7)"));
  ending.failures = {By(0, ExitCode::kData)};  // that may be why the others were left alone
  EXPECT_EQ(Judge(ending).exit_code, 65);
}

TEST(Judge, ARankThatMissesSomebodyMissesTheNodeThatWentAway) {
  Ending ending = End(Exited(1), "", {By(0, ExitCode::kPeer)});
  ending.unheard = Node(Link::kBroken);
  EXPECT_EQ(Judge(ending).exit_code, 76);
  EXPECT_EQ(Judge(ending).first_failure->host, "n2");
  ending.unheard = Node(Link::kUp);  // only silent
  EXPECT_EQ(Judge(ending).first_failure->rank, 0);
  ending.unheard = Node(Link::kBroken);
  ending.failures[0].failed = core::FailedRank{2, "n1"};
  EXPECT_EQ(Judge(ending).first_failure->host, "n1");
}

TEST(Judge, WhereMpirunMissesAHostTheOneThatIsNotHeardIsNamed) {
  Ending ending = End(Exited(1), "ORTE has lost communication with a remote daemon.");
  EXPECT_EQ(Judge(ending).exit_code, 76);
  EXPECT_EQ(Judge(ending).first_failure->rank, -1);
  ending.output_tail +=
      "\n\n  HNP daemon   : [[28887,0],0] on node vm\n"
      "  Remote daemon: [[28887,0],2] on node n5\n";
  EXPECT_EQ(Judge(ending).first_failure->host, "n5");
  ending.unheard = Node(Link::kBroken);
  EXPECT_EQ(Judge(ending).first_failure->host, "n2");
  ending.output_tail = "";  // a watcher that is gone alone proves nothing
  EXPECT_EQ(Judge(ending).exit_code, 70);
}

}  // namespace
}  // namespace moat::launch
