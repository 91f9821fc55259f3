// moat launch with a fake trainer under the real mpirun: codes, signals, orphans, leases.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/durable_file.h"
#include "core/host.h"
#include "rundir/lease.h"
#include "rundir/metrics.h"
#include "rundir/outcome.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;
using moat::testing::Eventually;
using moat::testing::Process;
using ::testing::HasSubstr;

class SupervisorTest : public ::testing::Test {
 protected:
  SupervisorTest() {
    // moat looks for moat-train beside itself.
    fs::copy_file(std::string(MOAT_BINARY_DIR) + "/bin/moat", directory_ / "moat");
    fs::copy_file(std::string(MOAT_BINARY_DIR) + "/tests/fake/moat-train",
                  directory_ / "moat-train");
    core::MakeDirectories(directory_ / "data set");
    core::WriteFileAtomically(directory_ / "data set" / "index.json", "{}");
  }

  std::vector<std::string> Command(const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {directory_ / "moat", "launch", "--run=r",
                                      "--data=data set",   "--dp=2", "--threads=1",
                                      "--restarts=0"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::unique_ptr<Process> Start(const std::string& how,
                                 const std::vector<std::string>& more = {}) {
    return std::make_unique<Process>(Command(more), directory_ / "output",
                                     std::map<std::string, std::string>{{"FAKE_TRAIN", how}},
                                     directory_.path());
  }
  int Launch(const std::string& how, const std::vector<std::string>& more = {}) {
    return Start(how, more)->Wait();
  }
  // Waits until both ranks are up; their pids.
  std::vector<pid_t> Ranks(int attempt = 0) {
    std::vector<pid_t> pids;
    for (int rank = 0; rank < 2; ++rank) {
      const fs::path file = layout_.logs(attempt) / ("pid-" + std::to_string(rank));
      EXPECT_TRUE(Eventually(30, [&] { return fs::exists(file); })) << Output();
      if (fs::exists(file)) pids.push_back(std::stoi(core::ReadWholeFile(file)));
    }
    return pids;
  }
  static bool AllGone(const std::vector<pid_t>& pids) {
    for (const pid_t pid : pids) {
      if (core::ProcessStart(pid) != 0) return false;
    }
    return true;
  }
  std::string Output() const { return core::ReadWholeFile(directory_ / "output"); }
  rundir::Outcome Outcome() const { return rundir::ReadOutcome(layout_).value(); }

  testing::TemporaryDirectory directory_;
  rundir::RunLayout layout_{directory_ / "runs" / "r"};
};

TEST_F(SupervisorTest, RecordsAGoodEnd) {
  EXPECT_EQ(Launch("succeed"), 0) << Output();
  const rundir::Outcome outcome = Outcome();
  EXPECT_EQ(outcome.state, rundir::RunState::kDone);
  EXPECT_EQ(outcome.step, 3);
  EXPECT_EQ(outcome.attempts, 1);
  EXPECT_FALSE(fs::exists(layout_.lease()));
  EXPECT_THAT(Output(), HasSubstr("rank 1 writes to stdout"));
  EXPECT_THAT(core::ReadWholeFile(layout_.node_log(0, core::HostName())),
              HasSubstr("rank 1 writes to stdout"));
  EXPECT_THAT(core::ReadWholeFile(layout_.launch() / "command.txt"),
              HasSubstr("'--data=data set'"));
}

TEST_F(SupervisorTest, NeedsNoHomeDirectory) {
  Process launch(Command(), directory_ / "output",
                 {{"FAKE_TRAIN", "succeed"}, {"HOME", "/nonexistent/home"}}, directory_.path());
  EXPECT_EQ(launch.Wait(), 0) << Output();
}

TEST_F(SupervisorTest, CountsAttempts) {
  EXPECT_EQ(Launch("succeed"), 0);
  EXPECT_EQ(Launch("succeed", {"--steps=200"}), 0) << Output();
  EXPECT_EQ(Outcome().attempts, 2);
  EXPECT_TRUE(fs::exists(layout_.logs(1)));
  EXPECT_EQ(rundir::ReadMetrics(layout_.metrics()).steps.at(3).attempt, 1);
}

TEST_F(SupervisorTest, ReportsTheFirstFailureOfARank) {
  EXPECT_EQ(Launch("fail"), 65) << Output();
  const rundir::Outcome outcome = Outcome();
  EXPECT_EQ(outcome.state, rundir::RunState::kFailed);
  EXPECT_EQ(outcome.error_class, "data");
  ASSERT_TRUE(outcome.first_failure);
  EXPECT_EQ(outcome.first_failure->rank, 1);
  EXPECT_EQ(outcome.first_failure->what, "shard 7 is torn");
  const std::string output = Output();
  const size_t last = output.rfind('\n', output.size() - 2) + 1;
  EXPECT_EQ(output.find("moat: error: run r: failed at step ", last), last)
      << "mpirun's words come before it: " << output;
  EXPECT_THAT(output.substr(last), HasSubstr("shard 7 is torn"));
}

TEST_F(SupervisorTest, AKilledRankIsALostPeerAndItsBoardIsRead) {
  // Where mpirun does not name it and ends the other before that hears of it, nobody is named.
  for (int tries = 0; tries < 4; ++tries) {
    EXPECT_EQ(Launch("die"), 76) << Output();
    ASSERT_TRUE(Outcome().first_failure) << Output();
    if (Outcome().first_failure->rank >= 0) break;
  }
  EXPECT_EQ(Outcome().first_failure->rank, 1) << Output();
  EXPECT_THAT(Outcome().first_failure->what, HasSubstr("step 2, in data all_reduce(4096) 17"));
}

TEST_F(SupervisorTest, ARunThatLosesARankAgainAndAgainIsGivenUp) {
  EXPECT_EQ(Launch("die", {"--restarts=9", "--resume=never"}), 93) << Output();
  EXPECT_EQ(Outcome().attempts, 3);
  EXPECT_EQ(Outcome().error_class, "no_progress");
  EXPECT_EQ(Outcome().first_failure->rank, 1);
  EXPECT_THAT(Outcome().first_failure->what, HasSubstr("3 attempts in a row"));
  EXPECT_TRUE(fs::exists(layout_.logs(2)));
}

TEST_F(SupervisorTest, AHookIsToldOfEveryChange) {
  const std::string hook = "echo $MOAT_EVENT $MOAT_RUN $MOAT_EXIT_CODE $MOAT_ATTEMPTS >> told";
  EXPECT_EQ(Launch("succeed", {"--on_event=" + hook}), 0) << Output();
  EXPECT_EQ(core::ReadWholeFile(directory_ / "told"), "running r 0 1\ndone r 0 1\n");
  fs::remove(directory_ / "told");
  EXPECT_EQ(Launch("die", {"--on_event=" + hook, "--restarts=1", "--steps=200"}), 76) << Output();
  EXPECT_EQ(core::ReadWholeFile(directory_ / "told"),
            "running r 0 2\nrestarting r 76 2\nrunning r 0 3\nfailed r 76 3\n");
}

TEST_F(SupervisorTest, AHookThatFailsIsAWarning) {
  EXPECT_EQ(Launch("succeed", {"--on_event=echo no pager >&2; exit 3"}), 0) << Output();
  EXPECT_THAT(Output(), HasSubstr("told that the run is done: exits with 3: no pager"));
}

TEST_F(SupervisorTest, AStoppedRankIsNamedWithPhaseStepAndCollectivesAndEveryoneIsGone) {
  auto run = Start("hang", {"--hang_timeout=1"});
  const auto ranks = Ranks();
  EXPECT_EQ(run->Wait(40), 76) << Output();
  EXPECT_TRUE(AllGone(ranks));
  const rundir::Outcome outcome = Outcome();
  EXPECT_EQ(outcome.error_class, "hang");
  ASSERT_TRUE(outcome.first_failure);
  EXPECT_EQ(outcome.first_failure->rank, 1);
  EXPECT_EQ(outcome.first_failure->host, core::HostName());
  EXPECT_THAT(outcome.first_failure->what, HasSubstr("phase 'step'"));
  EXPECT_THAT(outcome.first_failure->what, HasSubstr("is stopped by a signal"));
  const std::string report = core::ReadWholeFile(layout_.hang(0));
  EXPECT_EQ(report.find("rank 1 on "), 0u) << report;
  EXPECT_THAT(report, HasSubstr("step, step 2, in data all_reduce(4096) 17"));
  EXPECT_THAT(report, HasSubstr("== rank 0 on " + core::HostName() + ", process " +
                                std::to_string(ranks[0])));
  EXPECT_THAT(report, HasSubstr("waits in"));
}

TEST_F(SupervisorTest, RanksInDifferentCollectivesAreAHangThatShowsBoth) {
  fs::copy_file(std::string(MOAT_BINARY_DIR) + "/tests/mismatched/moat-train",
                directory_ / "moat-train", fs::copy_options::overwrite_existing);
  EXPECT_EQ(Launch("", {"--hang_timeout=2"}), 76) << Output();
  EXPECT_EQ(Outcome().error_class, "hang");
  EXPECT_THAT(Outcome().first_failure->what,
              HasSubstr("rank 0: step, step 5, in world barrier 1;"));
  EXPECT_THAT(Outcome().first_failure->what, HasSubstr("rank 1: step, step 5, in data barrier 4;"));
}

TEST_F(SupervisorTest, ASlowRankIsNamedOnceAndNotEnded) {
  auto run = Start("straggle");
  Ranks();
  ASSERT_TRUE(Eventually(30, [&] { return Output().find("rank 1 on") != std::string::npos; }));
  run->Signal(SIGTERM);
  EXPECT_EQ(run->Wait(), 75) << Output();
  EXPECT_THAT(Output(), HasSubstr("is slow: busy for 2"));
  EXPECT_EQ(Output().find("rank 0 on"), std::string::npos) << Output();
}

TEST_F(SupervisorTest, RanksThatEndWithoutAWordAreABug) { EXPECT_EQ(Launch("silent"), 70); }

TEST_F(SupervisorTest, SignalsAskTheRanksToSaveAndMeanWhatTheySay) {
  const std::pair<int, int> cases[] = {{SIGTERM, 75}, {SIGUSR1, 75}, {SIGINT, 78}};
  int attempt = 0;
  for (const auto& [number, code] : cases) {
    auto run = Start("until_asked");
    const auto ranks = Ranks(attempt++);
    run->Signal(number);
    EXPECT_EQ(run->Wait(), code) << Output();
    EXPECT_EQ(Outcome().exit_code, code);
    EXPECT_EQ(Outcome().state,
              code == 75 ? rundir::RunState::kPreempted : rundir::RunState::kStopped);
    EXPECT_TRUE(AllGone(ranks));
    EXPECT_EQ(Output().find("Forwarding signal"), std::string::npos) << Output();
    EXPECT_THAT(core::ReadWholeFile(layout_.node_log(attempt - 1, core::HostName())),
                HasSubstr("mpirun: Forwarding signal"));
  }
}

TEST_F(SupervisorTest, ARequestBeforeAllRanksListenEndsTheAttemptAtOnce) {
  const std::pair<int, int> cases[] = {{SIGTERM, 75}, {SIGINT, 78}};
  int attempt = 0;
  for (const auto& [number, code] : cases) {
    auto run = Start("starting", {"--grace=100"});
    const auto ranks = Ranks(attempt++);
    run->Signal(number);
    EXPECT_EQ(run->Wait(20), code) << Output();
    EXPECT_FALSE(Outcome().first_failure) << Outcome().first_failure->what;
    EXPECT_TRUE(AllGone(ranks));
  }
}

TEST_F(SupervisorTest, MoatStopEndsARunWith78) {
  auto run = Start("until_asked");
  Ranks();
  Process stop({directory_ / "moat", "stop", "r"}, directory_ / "stop", {}, directory_.path());
  EXPECT_EQ(stop.Wait(), 0);
  EXPECT_EQ(run->Wait(), 78) << Output();
  Process again({directory_ / "moat", "stop", "r"}, directory_ / "stop", {}, directory_.path());
  EXPECT_EQ(again.Wait(), 2);
  EXPECT_THAT(core::ReadWholeFile(directory_ / "stop"), HasSubstr("is not running"));
}

TEST_F(SupervisorTest, ASecondSignalKillsAtOnce) {
  auto run = Start("deaf");
  const auto ranks = Ranks();
  run->Signal(SIGTERM);
  ASSERT_TRUE(Eventually(10, [&] { return Output().find("again to kill") != std::string::npos; }));
  run->Signal(SIGINT);
  EXPECT_EQ(run->Wait(5), 128 + SIGINT) << Output();
  EXPECT_TRUE(Eventually(5, [&] { return AllGone(ranks); }));
}

TEST_F(SupervisorTest, ARunThatDoesNotEndInTimeIsKilled) {
  auto run = Start("deaf", {"--grace=0.5"});
  const auto ranks = Ranks();
  run->Signal(SIGTERM);
  EXPECT_EQ(run->Wait(10), 76) << Output();
  EXPECT_THAT(Outcome().first_failure->what, HasSubstr("--grace"));
  EXPECT_TRUE(Eventually(5, [&] { return AllGone(ranks); }));
}

TEST_F(SupervisorTest, KillingTheSupervisorLeavesNoOrphansAndTheRunGoesOn) {
  auto run = Start("deaf");
  const auto ranks = Ranks();
  run->Signal(SIGKILL);
  EXPECT_EQ(run->Wait(), 128 + SIGKILL);
  EXPECT_TRUE(Eventually(5, [&] { return AllGone(ranks); }));
  EXPECT_EQ(rundir::ConcludeOutcome(layout_)->state, rundir::RunState::kLost);
  EXPECT_EQ(Launch("succeed"), 0) << Output();
  EXPECT_THAT(Output(), HasSubstr("took over the lease"));
}

TEST_F(SupervisorTest, ARunInUseIsRefusedWithItsHolder) {
  auto run = Start("until_asked");
  Ranks();
  Process second(Command(), directory_ / "second", {}, directory_.path());
  EXPECT_EQ(second.Wait(), 2);
  EXPECT_THAT(core::ReadWholeFile(directory_ / "second"),
              HasSubstr("is in use by process " + std::to_string(run->pid()) + " on host " +
                        core::HostName()));
  run->Signal(SIGTERM);
  EXPECT_EQ(run->Wait(), 75);
}

TEST_F(SupervisorTest, ARunOfAnotherConfigurationIsRefusedWithBothValues) {
  EXPECT_EQ(Launch("succeed"), 0);
  const std::string before = core::ReadWholeFile(layout_.flags());
  EXPECT_EQ(Launch("succeed", {"--layers=5"}), 2);
  EXPECT_THAT(Output(), HasSubstr("--layers was 4, now 5"));
  EXPECT_EQ(core::ReadWholeFile(layout_.flags()), before);
  EXPECT_EQ(Outcome().attempts, 1);
}

TEST_F(SupervisorTest, AMissingDataSetIsRefusedBeforeAnythingIsMade) {
  EXPECT_EQ(Launch("succeed", {"--data=nowhere"}), 2);
  EXPECT_FALSE(fs::exists(layout_.root));
}

TEST_F(SupervisorTest, AMissingTrainerIsNamed) {
  fs::remove(directory_ / "moat-train");
  EXPECT_EQ(Launch("succeed"), 2) << Output();
  EXPECT_THAT(Output(), HasSubstr("moat-train"));
}

}  // namespace
}  // namespace moat::launch
