// Which run is meant, what its logs hold, and how it is shown.
#include "launch/run_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "core/durable_file.h"
#include "core/error.h"
#include "launch/run_list.h"
#include "launch/run_logs.h"
#include "rundir/lease.h"
#include "rundir/outcome.h"
#include "tests/support/temporary_directory.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;
using rundir::RunState;
using ::testing::HasSubstr;

class RunsTest : public ::testing::Test {
 protected:
  // `age`: seconds since its outcome changed.
  rundir::RunLayout Make(const std::string& name, int age, RunState state = RunState::kDone) {
    rundir::RunLayout layout{directory_ / name};
    core::MakeDirectories(layout.root);
    rundir::Outcome outcome;
    outcome.state = state;
    outcome.error_class = "ok";
    outcome.attempts = 1;
    rundir::WriteOutcome(layout, outcome);
    fs::last_write_time(layout.outcome(),
                        fs::file_time_type::clock::now() - std::chrono::seconds(age));
    return layout;
  }
  std::string WhyRefused(const std::string& root, const std::string& name, bool running = false) {
    try {
      ChooseRun(root, name, running);
    } catch (const core::ConfigError& error) {
      return error.what();
    }
    return "";
  }

  testing::TemporaryDirectory directory_;
};

TEST_F(RunsTest, TheNewestIsMeantWhereNoneIsNamed) {
  Make("a", 60);
  Make("b", 10);
  Make("c", 30);
  EXPECT_EQ(ChooseRun(directory_.path(), ""), "b");
  EXPECT_EQ(ChooseRun(directory_.path(), "a"), "a");
}

TEST_F(RunsTest, TheNewestThatRunsIsMeantWhereOneIsToBeStopped) {
  Make("b", 10);
  const rundir::RunLayout running = Make("c", 30, RunState::kRunning);
  EXPECT_THAT(WhyRefused(directory_.path(), "", true), HasSubstr("no run is running"));
  const rundir::Lease lease(running);
  EXPECT_EQ(ChooseRun(directory_.path(), "", true), "c");
}

TEST_F(RunsTest, AMistypedNameIsAnsweredWithTheNearest) {
  Make("coffee", 1);
  EXPECT_THAT(WhyRefused(directory_.path(), "cofee"), HasSubstr("did you mean coffee?"));
}

TEST_F(RunsTest, RunsOfAFolderAboveAreHintedAt) {
  core::MakeDirectories(directory_ / "below" / "deeper");
  core::MakeDirectories(directory_ / "runs");
  fs::rename(Make("r", 1).root, directory_ / "runs" / "r");
  const fs::path here = fs::current_path();
  fs::current_path(directory_ / "below" / "deeper");
  const std::string named = WhyRefused("runs", "r"), newest = WhyRefused("runs", "");
  fs::current_path(here);
  EXPECT_THAT(named, HasSubstr("--run_root=" + (directory_ / "runs").string()));
  EXPECT_THAT(newest, HasSubstr("--run_root=" + (directory_ / "runs").string()));
}

TEST_F(RunsTest, ARunningRunHasProgressAndTimeLeftAndNoExitCode) {
  const rundir::RunLayout layout = Make("r", 1, RunState::kRunning);
  const rundir::Lease lease(layout);
  core::WriteFileAtomically(layout.flags(), "--seed=1\n--steps=40\n");
  RunReader reader(directory_.path());
  EXPECT_THAT(ToText(reader.Read("r")), HasSubstr("0/40    0%"));
  rundir::StepLine line;
  line.step = 10;
  line.loss = 2.5;
  line.tokens_per_second = 1200;
  line.eta_seconds = 90;
  rundir::MetricsWriter(layout.metrics()).Append(line);
  const RunSummary run = reader.Read("r");  // of a reader that has read it before
  EXPECT_THAT(ToText(run), HasSubstr("10/40   25%     2.5000"));
  EXPECT_THAT(ToText(run), HasSubstr("1m30s"));
  EXPECT_THAT(ToJson(run), HasSubstr("\"exit_code\": null"));
  EXPECT_THAT(ToJson(run), HasSubstr("\"class\": null"));
  EXPECT_THAT(ToJson(run), HasSubstr("\"target\": 40"));
}

TEST_F(RunsTest, ARunningRunIsResumableAsSoonAsACheckpointIsThere) {
  const rundir::RunLayout layout = Make("r", 1, RunState::kRunning);
  std::optional<rundir::Lease> lease(layout);
  RunReader reader(directory_.path());
  EXPECT_FALSE(reader.Read("r").outcome.resumable);
  core::MakeDirectories(layout.checkpoints() / "step-00000010");
  EXPECT_FALSE(reader.Read("r").outcome.resumable) << "a checkpoint without a manifest is none";
  core::WriteFileAtomically(layout.checkpoints() / "step-00000010" / "manifest.json", "{}");
  EXPECT_TRUE(reader.Read("r").outcome.resumable);
  EXPECT_THAT(ToJson(reader.Read("r")), HasSubstr("\"resumable\": true"));
  lease.reset();
  EXPECT_THAT(ToText(reader.Read("r")), HasSubstr("resumable: launch it again to go on")) << "lost";
}

TEST_F(RunsTest, ARunningRunWithCopiesOnItsNodesIsResumableFromItsFirstStepOn) {
  const rundir::RunLayout layout = Make("r", 1, RunState::kRunning);
  const rundir::Lease lease(layout);
  core::WriteFileAtomically(layout.flags(), "--local_checkpoint_dir=/dev/shm\n--steps=40\n");
  RunReader reader(directory_.path());
  EXPECT_FALSE(reader.Read("r").outcome.resumable);
  rundir::StepLine line;
  line.step = 1;
  rundir::MetricsWriter(layout.metrics()).Append(line);
  EXPECT_TRUE(reader.Read("r").outcome.resumable);
}

TEST_F(RunsTest, ARunThatEndedHasItsExitCode) {
  Make("r", 1);
  EXPECT_THAT(ToJson(RunReader(directory_.path()).Read("r")), HasSubstr("\"exit_code\": 0"));
}

TEST(LogLine, IsOfTheRankThatItNames) {
  EXPECT_EQ(ToLogLine("moat: step 3").rank, 0);
  EXPECT_EQ(ToLogLine("moat: [rank 12] warning: slow").rank, 12);
  EXPECT_FALSE(ToLogLine("terminate called").rank);
}

TEST_F(RunsTest, LogsAreReadAsTheyGrowByRankAndAttempt) {
  const rundir::RunLayout layout = Make("r", 1);
  EXPECT_THROW(LogReader(layout, -1), core::ConfigError);
  core::MakeDirectories(layout.logs(0));
  std::ofstream log(layout.node_log(0, "n7"));
  log << "moat: one\nmoat: [rank 1] two\nthr" << std::flush;
  LogReader all(layout, -1), first(layout, 0);
  EXPECT_EQ(all.Read(std::nullopt).size(), 2u);
  EXPECT_EQ(first.Read(1), (std::vector<LogLine>{{1, "moat: [rank 1] two"}}));
  log << "ee\n" << std::flush;
  EXPECT_EQ(all.Read(std::nullopt), (std::vector<LogLine>{{std::nullopt, "three"}}));
  EXPECT_TRUE(all.Read(std::nullopt).empty());
  EXPECT_FALSE(all.Next());
  core::MakeDirectories(layout.logs(1));
  std::ofstream(layout.node_log(1, "n7")) << "moat: again\n";
  EXPECT_TRUE(all.Next());
  EXPECT_EQ(all.Read(0), (std::vector<LogLine>{{0, "moat: again"}}));
  EXPECT_THROW(LogReader(layout, 2), core::ConfigError);
}

TEST_F(RunsTest, ARankThatSaidNothingIsToldFromOneThatDoesNotExist) {
  const rundir::RunLayout layout = Make("r", 1);
  core::MakeDirectories(layout.logs(0));
  std::ofstream(layout.node_log(0, "n7")) << "moat: one\n";
  const LogReader logs(layout, 0);
  const auto refused = [&](int rank) -> std::string {
    try {
      return "not refused: " + WhySilent(logs, rank, false);
    } catch (const core::ConfigError& error) {
      return error.what();
    }
  };
  EXPECT_THAT(refused(0), HasSubstr("rank 0 is not in attempt 0, where no rank has come up"));
  for (const int rank : {0, 1, 2, 10}) {
    std::ofstream(layout.board(0, rank)) << "a board";
  }
  EXPECT_EQ(logs.Ranks(), (std::vector<int>{0, 1, 2, 10}));
  EXPECT_EQ(WhySilent(logs, 1, false),
            "rank 1 has said nothing in attempt 0; there are ranks 0 to 10");
  EXPECT_EQ(refused(11), "rank 11 is not in attempt 0; there are ranks 0 to 10");
  EXPECT_EQ(WhySilent(logs, 11, true), refused(11)) << "it may come yet";
}

}  // namespace
}  // namespace moat::launch
