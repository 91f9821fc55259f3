// Why runs ended, from run directories as supervisor and ranks leave them.
#include "launch/why.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/durable_file.h"
#include "core/error.h"
#include "core/host.h"
#include "rundir/board.h"
#include "rundir/failure.h"
#include "rundir/lease.h"
#include "rundir/metrics.h"
#include "rundir/outcome.h"
#include "tests/support/temporary_directory.h"

namespace moat::launch {
namespace {

using core::ExitCode;
using rundir::RunState;
using ::testing::HasSubstr;

class WhyTest : public ::testing::Test {
 protected:
  WhyTest() {
    core::MakeDirectories(layout_.logs(0));
    core::WriteFileAtomically(
        layout_.flags(), "--data=sets/mine\n--run=r\n--micro_batch=8\n--lr=0.002\n--steps=9\n");
  }
  void Begun(RunState state) {
    rundir::Outcome outcome;
    outcome.state = state;
    outcome.error_class = "ok";
    outcome.attempts = 1;
    rundir::WriteOutcome(layout_, outcome);
  }
  void Ended(ExitCode code, int rank, const std::string& what, const char* error_class = nullptr) {
    rundir::Outcome outcome;
    outcome.exit_code = static_cast<int>(code);
    outcome.error_class = error_class != nullptr ? error_class : core::ExitCodeName(code);
    outcome.state = rundir::StateOf(outcome.exit_code);
    outcome.step = 4;
    outcome.attempts = 1;
    if (!what.empty()) outcome.first_failure = {rank, "n7", what};
    rundir::WriteOutcome(layout_, outcome);
  }
  void Failed(ExitCode code, int rank, const std::string& what) {
    ASSERT_TRUE(rundir::WriteFailure(layout_, 0, {rank, "n7", code, what, 4, 1}));
    Ended(code, rank, what);
  }
  void Logged(const std::string& text) {
    std::ofstream(layout_.node_log(0, "n7"), std::ios::app) << text << "\n";
  }
  launch::Why Why() { return Explain(directory_.path(), "r"); }
  // Class and rank, and what the command and the evidence say.
  void Expect(CauseClass cause, int rank, const std::string& command, const std::string& evidence) {
    const launch::Why why = Why();
    EXPECT_STREQ(Name(why.cause), Name(cause));
    EXPECT_EQ(why.rank, rank);
    EXPECT_THAT(why.command, HasSubstr(command));
    EXPECT_THAT(ToText(why), HasSubstr(evidence));
    EXPECT_THAT(ToJson(why), HasSubstr(std::string("\"class\": \"") + Name(cause) + "\""));
  }

  testing::TemporaryDirectory directory_;
  rundir::RunLayout layout_{directory_ / "r"};
};

TEST_F(WhyTest, OutOfMemoryWantsSmallerMicroBatches) {
  Failed(ExitCode::kOutOfMemory, 2, "cannot get 7.0 GiB for activations");
  Expect(CauseClass::kOutOfMemory, 2, "--micro_batch=4", "failure-2.json: cannot get 7.0 GiB");
}

TEST_F(WhyTest, OutOfMemoryWithoutAMicroBatchToHalveRecomputes) {
  core::WriteFileAtomically(layout_.flags(), "--micro_batch=1\n--run=r\n--data=d\n");
  Failed(ExitCode::kOutOfMemory, 2, "cannot get 7.0 GiB");
  Expect(CauseClass::kOutOfMemory, 2, "--recompute=block", "7.0 GiB");
}

TEST_F(WhyTest, NanWantsANewRunWithALowerRate) {
  Failed(ExitCode::kNumerics, 0, "step 5: the loss is nan");
  Expect(CauseClass::kNan, 0, "--run=r-lower-lr --lr=0.001", "the loss is nan");
}

TEST_F(WhyTest, AHangShowsItsReport) {
  Ended(ExitCode::kPeer, 1, "hung: not through with phase 'step'", "hang");
  core::WriteFileAtomically(layout_.hang(0), "rank 1 on n7: process 4 is stopped\n\n== stacks\n");
  Expect(CauseClass::kHang, 1,
         "moat launch --flagfile=", "logs/attempt-00/hang.txt: rank 1 on n7: process 4 is stopped");
  EXPECT_EQ(ToText(Why()).find("== stacks"), std::string::npos);
}

TEST_F(WhyTest, APeerMissedAtACollectiveIsAHangToo) {
  Failed(ExitCode::kPeer, 1, "lost peer: rank 0 waited 300 s in group 'data'; missing: rank 1");
  Expect(CauseClass::kHang, 1, "moat launch", "missing: rank 1");
}

TEST_F(WhyTest, BadDataIsVerified) {
  Failed(ExitCode::kData, 3, "sets/mine/shard-00001.h5: CRC of block 7 differs");
  Expect(CauseClass::kData, 3, "moat data verify sets/mine", "CRC of block 7");
}

TEST_F(WhyTest, StorageAsksForRoom) {
  Failed(ExitCode::kStorage, 0, "cannot write ckpt: No space left on device");
  Expect(CauseClass::kStorage, 0, "df -h ", "No space left");
}

TEST_F(WhyTest, APreemptedRunGoesOn) {
  Ended(ExitCode::kPreempted, -1, "");
  Expect(CauseClass::kPreemption, -1, "moat launch --flagfile=", "it was asked to end, and saved");
}

TEST_F(WhyTest, AKilledRankIsANodesMatterAndItsBoardIsShown) {
  rundir::BoardWriter(layout_.board(0, 1)).EnterPhase(rundir::Phase::kSaving, 4);
  Ended(ExitCode::kPeer, 1, "was ended by signal 9 (Killed)");
  Expect(CauseClass::kNode, 1, "moat launch --flagfile=", "board-1: saving, step 4");
}

TEST_F(WhyTest, AnUnhealthyNodeIsExamined) {
  Failed(ExitCode::kNode, 1, "replicas differ");
  Expect(CauseClass::kNode, 1, "moat doctor", "replicas differ");
}

TEST_F(WhyTest, AStoppedRunIsItsUsersDoing) {
  Ended(ExitCode::kStopped, -1, "");
  Expect(CauseClass::kUser, -1, "moat launch --flagfile=", "somebody stopped it");
}

TEST_F(WhyTest, WhatARankProposesInsteadOfAFlagIsTheCommand) {
  Failed(ExitCode::kConfig, 1,
         "--device=cuda, but no CUDA device is seen by rank 1; use --device=auto or --device=cpu");
  Expect(CauseClass::kUser, 1, "run.flags --device=auto", "no CUDA device is seen");
  EXPECT_EQ(Why().command.find("--run="), std::string::npos) << "a run's device may change";
}

TEST_F(WhyTest, WhatCannotChangeInARunIsProposedForANewOne) {
  Failed(ExitCode::kConfig, 0, "no bf16 here; use --dtype=f32, or --dtype_fallback");
  Expect(CauseClass::kUser, 0, "run.flags --run=r-again --dtype=f32", "no bf16 here");
}

TEST_F(WhyTest, FlagsWithoutAProposalAreShown) {
  Failed(ExitCode::kConfig, 0, "--canonical_ways=3");
  Expect(CauseClass::kUser, 0, "moat config ", "--canonical_ways=3");
}

TEST_F(WhyTest, ABugShowsWhatTheRankSaid) {
  Logged("moat: step 3/9  loss 1.0");
  Logged("terminate called after throwing an instance of 'std::logic_error'");
  Ended(ExitCode::kBug, 1, "was ended by signal 6 (Aborted)");
  Expect(CauseClass::kBug, 1, "moat logs r --run_root=", "node-*.log: terminate called");
  EXPECT_EQ(ToText(Why()).find("loss 1.0"), std::string::npos);
}

TEST_F(WhyTest, ARunThatWasGivenUpHasTheCauseOfItsLastAttempt) {
  ASSERT_TRUE(
      rundir::WriteFailure(layout_, 0, {0, "n7", ExitCode::kStorage, "No space left", 4, 1}));
  Ended(ExitCode::kDoNotRequeue, 0, "3 attempts in a row ended without a new checkpoint");
  Expect(CauseClass::kStorage, 0, "df -h", "3 attempts in a row");
}

TEST_F(WhyTest, ALostRunLostItsLauncher) {
  Begun(RunState::kRunning);  // and nobody holds the lease
  Expect(CauseClass::kNode, -1, "moat launch --flagfile=", "its launcher is gone without a word");
  for (const Evidence& evidence : Why().evidence) {
    EXPECT_THAT(evidence.text, ::testing::Not(HasSubstr("exit code"))) << "nobody wrote one";
  }
}

TEST_F(WhyTest, ARunThatGoesOnSaysHowFarItIsAndThatThereIsNothingToExplain) {
  Begun(RunState::kRunning);
  const rundir::Lease lease(layout_);
  rundir::StepLine line;
  line.step = 6;
  line.loss = 2.25;
  rundir::MetricsWriter(layout_.metrics()).Append(line);
  rundir::BoardWriter(layout_.board(0, 0)).EnterPhase(rundir::Phase::kSaving, 6);
  Expect(CauseClass::kNone, -1, "",
         "it runs: step 6 of 9, loss 2.2500, rank 0 in its phase 'saving' for ");
  EXPECT_THAT(ToText(Why()), ::testing::StartsWith("run r: running\n"));
  EXPECT_THAT(ToText(Why()), HasSubstr("there is nothing to explain yet"));
  EXPECT_THAT(ToText(Why()), ::testing::Not(HasSubstr("class ok")));
  EXPECT_THAT(ToJson(Why()), HasSubstr("\"state\": \"running\""));
  EXPECT_EQ(Why().command, "");
}

TEST_F(WhyTest, ARankThatOthersWaitForIsNamedWhileTheRunGoesOn) {
  Begun(RunState::kRunning);
  const rundir::Lease lease(layout_);
  rundir::BoardWriter waits(layout_.board(0, 0)), computes(layout_.board(0, 1));
  waits.EnterPhase(rundir::Phase::kStep, 3);
  computes.EnterPhase(rundir::Phase::kStep, 3);
  EXPECT_THAT(Why().what, ::testing::Not(HasSubstr("waits for")));
  waits.EnterCollective(waits.AddGroup("data"), "all_reduce", 64, 7);
  EXPECT_THAT(Why().what, HasSubstr("; rank 0 waits for rank 1 in data all_reduce(64) 7 for "));
}

TEST_F(WhyTest, AQueuedRunWaitsForItsTurn) {
  Begun(RunState::kQueued);
  Expect(CauseClass::kNone, -1, "", "run r: queued\n  it waits for its turn\n");
}

TEST_F(WhyTest, ADoneRunHasNoCauseAndNoCommand) {
  Ended(ExitCode::kOk, -1, "");
  Expect(CauseClass::kNone, -1, "", "it is done at step 4");
  EXPECT_EQ(Why().command, "");
}

TEST_F(WhyTest, NamesWithBlanksAreQuoted) {
  core::WriteFileAtomically(layout_.flags(), "--data=my sets/a\n--run=r\n");
  Failed(ExitCode::kData, 3, "torn");
  Expect(CauseClass::kData, 3, "moat data verify 'my sets/a'", "torn");
}

TEST_F(WhyTest, ARunThatIsNotThereIsRefused) {
  EXPECT_THROW(Explain(directory_.path(), "q"), core::ConfigError);
}

}  // namespace
}  // namespace moat::launch
