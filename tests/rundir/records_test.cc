// The records of a run: layout, outcome, failures, metrics, capsule; each reads back what it wrote.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <fstream>

#include "core/durable_file.h"
#include "core/error.h"
#include "rundir/attempt.h"
#include "rundir/capsule.h"
#include "rundir/failure.h"
#include "rundir/metrics.h"
#include "rundir/outcome.h"
#include "tests/support/temporary_directory.h"

namespace moat::rundir {
namespace {

class RecordsTest : public ::testing::Test {
 protected:
  testing::TemporaryDirectory directory_;
  RunLayout layout_{directory_.path()};
};

TEST_F(RecordsTest, LayoutNamesTwoDigitAttempts) {
  const RunLayout layout{"runs/a"};
  EXPECT_EQ(layout.logs(0), "runs/a/logs/attempt-00");
  EXPECT_EQ(layout.logs(123), "runs/a/logs/attempt-123");
  EXPECT_EQ(layout.node_log(7, "n1"), "runs/a/logs/attempt-07/node-n1.log");
}

TEST_F(RecordsTest, RunNamesAreNamesOfDirectoriesAndJobs) {
  for (const std::string good : {"a", "A-1_b.c", "7"}) EXPECT_NO_THROW(CheckRunName(good));
  for (const std::string& bad :
       {std::string(), std::string("a/b"), std::string(".."), std::string("-x"), std::string("a b"),
        std::string("a\n"), std::string("\xc3\xa9"), std::string(101, 'a')}) {
    EXPECT_THROW(CheckRunName(bad), core::ConfigError) << bad;
  }
}

TEST_F(RecordsTest, OutcomeReadsBack) {
  const Outcome outcome = {
      RunState::kFailed, "data", 65, FirstFailure{3, "n1", "row 7\nbad \"x\""}, 120, true, 4};
  WriteOutcome(layout_, outcome);
  EXPECT_EQ(*ReadOutcome(layout_), outcome);
  EXPECT_FALSE(ReadOutcome(RunLayout{directory_ / "none"}));
  EXPECT_THROW(OutcomeFromJson("{\"state\": \"odd\"}", "x"), core::DataError);
}

TEST_F(RecordsTest, TheEarliestCauseComesFirstAndLostPeersLast) {
  WriteFailure(layout_, 2,
               {0, "a", core::ExitCode::kPeer, "rank 3 is late", 5, 10, core::FailedRank{3, "b"}});
  WriteFailure(layout_, 2, {3, "b", core::ExitCode::kStorage, "disk full", 5, 30});
  WriteFailure(layout_, 2, {1, "a", core::ExitCode::kData, "torn \xff", 5, 20});
  core::WriteFileAtomically(layout_.failure(2, 9), "{");
  const auto failures = ReadFailures(layout_, 2);
  ASSERT_EQ(failures.size(), 3u);
  EXPECT_EQ(failures[0].rank, 1);
  EXPECT_EQ(failures[1].what, "disk full");
  EXPECT_EQ(failures[2].code, core::ExitCode::kPeer);
  EXPECT_EQ(failures[2].failed, (core::FailedRank{3, "b"}));
  EXPECT_TRUE(ReadFailures(layout_, 0).empty());
}

TEST_F(RecordsTest, WritingAFailureNeverThrows) {
  core::WriteFileAtomically(directory_ / "logs", "in the way");
  EXPECT_FALSE(WriteFailure(layout_, 0, {}));
}

TEST_F(RecordsTest, ResultReadsBackAndATornOneIsNone) {
  EXPECT_FALSE(ReadResult(layout_, 1));
  WriteResult(layout_, 1, {core::ExitCode::kPreempted, 77});
  EXPECT_EQ(ReadResult(layout_, 1)->code, core::ExitCode::kPreempted);
  EXPECT_EQ(ReadResult(layout_, 1)->step, 77);
  core::WriteFileAtomically(layout_.result(1), "{");
  EXPECT_FALSE(ReadResult(layout_, 1));
}

TEST_F(RecordsTest, MetricsKeepFullPrecisionAndTheLastLineOfAStepWins) {
  StepLine line;
  line.step = 3;
  line.loss = 0.1 + 0.2;
  {
    MetricsWriter writer(layout_.metrics());
    writer.Append(line);
    writer.Append(EvaluationLine{0, 3, 2.5, 1.25, {}});
    writer.Append(SaveLine{0, 3, "ckpt/step-00000003", 1500, 12.5});
    writer.Append(EvaluationLine{0, 6, 2.5, 1.25, {{"a b", {0.1 + 0.2, 1}}, {"c", {NAN, 2}}}});
  }
  line.attempt = 1;
  line.loss = 1.0 / 3;
  MetricsWriter(layout_.metrics()).Append(line);
  const Metrics metrics = ReadMetrics(layout_.metrics());
  EXPECT_EQ(metrics.steps.at(3).loss, 1.0 / 3);
  EXPECT_EQ(metrics.steps.at(3).attempt, 1);
  EXPECT_EQ(metrics.evaluations.at(3).val_bits_per_byte, 1.25);
  EXPECT_TRUE(metrics.evaluations.at(3).by_data.empty());
  EXPECT_EQ(metrics.evaluations.at(6).by_data.at("a b").loss, 0.1 + 0.2);
  EXPECT_TRUE(std::isnan(metrics.evaluations.at(6).by_data.at("c").loss));
  EXPECT_EQ(metrics.saves.at(3).directory, "ckpt/step-00000003");
  EXPECT_EQ(metrics.saves.at(3).stopped_ms, 12.5);
  EXPECT_EQ(metrics.unreadable_lines, 0);
}

// A file may grow no more, as on a full disk.
TEST_F(RecordsTest, LinesThatTheDiskDoesNotTakeWaitUntilItDoes) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  MetricsWriter writer(layout_.metrics());
  StepLine line;
  line.step = 1;
  writer.Append(line);
  const rlimit full{std::filesystem::file_size(layout_.metrics()) + 10, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &full);
  for (line.step = 2; line.step <= 100; ++line.step) writer.Append(line);
  EXPECT_EQ(ReadMetrics(layout_.metrics()).steps.size(), 1u);
  EXPECT_THROW(for (int i = 0; i < 2000; ++i) writer.Append(line), core::StorageError);
  setrlimit(RLIMIT_FSIZE, &before);
  writer.Append(line);
  const Metrics metrics = ReadMetrics(layout_.metrics());
  EXPECT_EQ(metrics.steps.size(), 101u);
  EXPECT_EQ(metrics.unreadable_lines, 0);
}

TEST_F(RecordsTest, AShareOfAPeakIsWrittenWhereThePeakIsKnown) {
  StepLine line;
  EXPECT_EQ(std::string::npos, ToJsonLine(line).find("peak_fraction"));
  line.step = 1;
  line.peak_fraction = 0.375;
  MetricsWriter(layout_.metrics()).Append(line);
  EXPECT_EQ(0.375, ReadMetrics(layout_.metrics()).steps.at(1).peak_fraction);
}

TEST_F(RecordsTest, ADevicesMemoryIsWrittenWhereThereIsADevice) {
  StepLine line;
  line.step = 1;
  EXPECT_EQ(std::string::npos, ToJsonLine(line).find("device_memory"));
  line.device_memory_room = 3000;
  line.device_memory_bytes = 2000;
  MetricsWriter(layout_.metrics()).Append(line);
  const Metrics metrics = ReadMetrics(layout_.metrics());
  EXPECT_EQ(2000, metrics.steps.at(1).device_memory_bytes);
  EXPECT_EQ(3000, metrics.steps.at(1).device_memory_room);
}

TEST_F(RecordsTest, ALineThatACrashCutShortSpoilsNoOther) {
  std::ofstream(layout_.metrics()) << "{\"attempt\": 0, \"st";
  StepLine line;
  line.step = 1;
  line.loss = NAN;
  MetricsWriter(layout_.metrics()).Append(line);
  const Metrics metrics = ReadMetrics(layout_.metrics());
  EXPECT_EQ(metrics.unreadable_lines, 1);
  EXPECT_TRUE(std::isnan(metrics.steps.at(1).loss));
}

TEST_F(RecordsTest, CapsuleGrowsByAttemptAndTakesDigestsLater) {
  CapsuleEntry entry = DescribeBuild();
  EXPECT_FALSE(entry.version.empty());
  entry.git = "v1";
  entry.cuda = "13.0";
  AppendCapsule(layout_, entry);
  CapsuleEntry digests;
  digests.data = {{"content", "abc"}};
  AppendCapsule(layout_, digests);
  entry.attempt = 1;
  AppendCapsule(layout_, entry);
  const auto entries = ReadCapsule(layout_);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].data.at("content"), "abc");
  EXPECT_EQ(entries[0].git, "v1");
  EXPECT_EQ(entries[1], entry);
  core::WriteFileAtomically(layout_.capsule(), "[{}]");
  EXPECT_THROW(ReadCapsule(layout_), core::DataError);
}

TEST_F(RecordsTest, TheAttemptComesFromTheEnvironment) {
  unsetenv(kSupervisedVariable);
  EXPECT_FALSE(AttemptFromEnvironment());
  setenv(kSupervisedVariable, "1", 1);
  unsetenv(kAttemptVariable);
  EXPECT_THROW(AttemptFromEnvironment(), core::BugError);
  setenv(kAttemptVariable, "4", 1);
  setenv(kRunDirVariable, "runs/a", 1);
  EXPECT_EQ(AttemptFromEnvironment()->attempt, 4);
  EXPECT_EQ(AttemptFromEnvironment()->run_dir, "runs/a");
  EXPECT_EQ(OrderlyExit(core::ExitCode::kPreempted), 0);
  unsetenv(kSupervisedVariable);
  EXPECT_EQ(OrderlyExit(core::ExitCode::kPreempted), 75);
}

}  // namespace
}  // namespace moat::rundir
