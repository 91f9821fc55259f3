// The board of a rank: read at any moment, also while it is written or after a kill.
#include "rundir/board.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "core/clock.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/host.h"
#include "tests/support/temporary_directory.h"

namespace moat::rundir {
namespace {

TEST(Board, ShowsWhatTheRankDoes) {
  testing::TemporaryDirectory directory;
  BoardWriter writer(directory / "board");
  EXPECT_EQ(ReadBoard(directory / "board")->text(), "starting, step 0");
  const int world = writer.AddGroup("world");
  const int data = writer.AddGroup("data");
  writer.EnterPhase(Phase::kStep, 12);
  writer.EnterCollective(world, "barrier", 0, 7);
  writer.LeaveCollective(world);
  writer.EnterCollective(data, "all_reduce", 4096, 345);
  const auto inside = ReadBoard(directory / "board");
  EXPECT_EQ(inside->text(), "step, step 12, in data all_reduce(4096) 345");
  EXPECT_TRUE(inside->inside_collective());
  EXPECT_EQ(inside->pid, getpid());
  EXPECT_EQ(inside->host, core::HostName());
  EXPECT_LE(inside->phase_began, core::MonotonicSeconds());
  EXPECT_GT(inside->phase_began, core::MonotonicSeconds() - 60);
  writer.LeaveCollective(data);
  const auto after = ReadBoard(directory / "board");
  EXPECT_EQ(after->text(), "step, step 12, after data all_reduce(4096) 345");
  EXPECT_FALSE(after->inside_collective());
}

TEST(Board, KnowsHowLongPhasesTookAndWhatOfStepsWasSpentInCollectives) {
  testing::TemporaryDirectory directory;
  BoardWriter writer(directory / "board");
  const int group = writer.AddGroup("data");
  const double begin = core::MonotonicSeconds();
  writer.EnterPhase(Phase::kStep, 0);
  usleep(2000);  // busy
  writer.EnterCollective(group, "all_reduce", 1, 1);
  usleep(30000);
  writer.LeaveCollective(group);
  writer.EnterPhase(Phase::kSaving, 1);
  const double all = core::MonotonicSeconds() - begin;
  const auto board = ReadBoard(directory / "board");
  EXPECT_EQ(board->phases, 3u);
  EXPECT_EQ(board->steps, 1u);
  const double longest = board->longest[static_cast<size_t>(Phase::kStep)];
  EXPECT_GE(longest, 0.032);
  EXPECT_LE(longest, all);
  EXPECT_EQ(board->longest[static_cast<size_t>(Phase::kSaving)], 0);  // none has ended
  EXPECT_GE(board->busy_seconds, 0.002);
  EXPECT_LE(board->busy_seconds, all - 0.03);
}

TEST(Board, LearnsOfSavesFromTheirCommitAlone) {
  testing::TemporaryDirectory directory;
  BoardWriter writer(directory / "board");
  writer.EnterPhase(Phase::kSaving, 1);  // copies, while the disk goes on
  writer.EnterPhase(Phase::kStep, 1);
  const auto longest = [&] {
    return ReadBoard(directory / "board")->longest[static_cast<size_t>(Phase::kSaving)];
  };
  EXPECT_EQ(longest(), 0);
  writer.SaveTook(40);
  EXPECT_EQ(longest(), 40);
}

TEST(Board, ForgetsHowSlowPhasesOnceWere) {
  testing::TemporaryDirectory directory;
  BoardWriter writer(directory / "board");
  writer.EnterPhase(Phase::kStep, 0);
  usleep(50000);
  for (int step = 1; step < 8; ++step) writer.EnterPhase(Phase::kStep, step);
  const auto longest = [&] {
    return ReadBoard(directory / "board")->longest[static_cast<size_t>(Phase::kStep)];
  };
  EXPECT_GE(longest(), 0.05);
  for (int step = 8; step < 40; ++step) writer.EnterPhase(Phase::kStep, step);
  EXPECT_LT(longest(), 0.05);
}

TEST(Board, GroupsBeyondItsRoomAreNotShown) {
  testing::TemporaryDirectory directory;
  BoardWriter writer(directory / "board");
  int last = 0;
  for (int i = 0; i < 20; ++i) last = writer.AddGroup("group");
  EXPECT_EQ(last, -1);
  writer.EnterCollective(last, "barrier", 0, 1);
  writer.LeaveCollective(last);
  EXPECT_FALSE(ReadBoard(directory / "board")->inside_collective());
}

TEST(Board, OutlivesItsWriter) {
  testing::TemporaryDirectory directory;
  { BoardWriter(directory / "board").EnterPhase(Phase::kStep, 7); }
  EXPECT_EQ(ReadBoard(directory / "board")->step, 7);
}

TEST(Board, ShowsHowOftenTheRankWasAskedToEnd) {
  testing::TemporaryDirectory directory;
  core::StopRequest stop;
  BoardWriter writer(directory / "board", &stop);
  EXPECT_EQ(ReadBoard(directory / "board")->requests, 0u);
  raise(SIGTERM);
  EXPECT_EQ(ReadBoard(directory / "board")->requests, 1u);
}

TEST(Board, LongNamesAreCut) {
  testing::TemporaryDirectory directory;
  BoardWriter writer(directory / "board");
  writer.EnterCollective(writer.AddGroup(std::string(100, 'x')), "reduce_scatter_and_more", 0, 1);
  const BoardGroup group = ReadBoard(directory / "board")->groups.at(0);
  EXPECT_EQ(group.name, std::string(15, 'x'));
  EXPECT_EQ(group.call, "reduce_scatter_");
}

TEST(Board, WhatIsNoBoardIsNotRead) {
  testing::TemporaryDirectory directory;
  EXPECT_FALSE(ReadBoard(directory / "absent"));
  core::WriteFileAtomically(directory / "short", "x");
  EXPECT_FALSE(ReadBoard(directory / "short"));
  core::WriteFileAtomically(directory / "zeros", std::string(4096, '\0'));
  EXPECT_FALSE(ReadBoard(directory / "zeros"));
  EXPECT_THROW(BoardWriter(directory / "no" / "where"), core::StorageError);
}

TEST(Board, AReaderNeverSeesHalfAnUpdate) {
  testing::TemporaryDirectory directory;
  BoardWriter writer(directory / "board");
  const int group = writer.AddGroup("data");
  std::atomic<bool> stop = false;
  std::thread phases([&] {
    for (int64_t i = 0; !stop; ++i) writer.EnterPhase(static_cast<Phase>(i % 6), i);
  });
  std::thread collectives([&] {  // of a group that another thread serves
    for (uint64_t i = 0; !stop; ++i) {
      writer.EnterCollective(group, std::to_string(i).c_str(), static_cast<int64_t>(i), i);
    }
  });
  for (int look = 0; look < 2000; ++look) {
    const auto board = ReadBoard(directory / "board");
    if (!board || board->groups.empty() || board->groups[0].call.empty()) continue;
    EXPECT_EQ(board->groups[0].call, std::to_string(board->groups[0].sequence));
    if (board->phases == 1) continue;
    EXPECT_EQ(board->step % 6, static_cast<int64_t>(board->phase));
  }
  stop = true;
  phases.join();
  collectives.join();
}

}  // namespace
}  // namespace moat::rundir
