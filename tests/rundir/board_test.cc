// The board of a rank: read at any moment, also while it is written or after a kill.
#include "rundir/board.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <thread>

#include "core/clock.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "tests/support/temporary_directory.h"

namespace moat::rundir {
namespace {

TEST(Board, ShowsWhatTheRankDoes) {
  testing::TemporaryDirectory directory;
  BoardWriter writer(directory / "board");
  EXPECT_EQ(ReadBoard(directory / "board")->text(), "starting, step 0");
  writer.SetPhase(Phase::kStep);
  writer.SetStep(12);
  writer.EnterCollective("data all-reduce", 345);
  const auto inside = ReadBoard(directory / "board");
  EXPECT_EQ(inside->text(), "step, step 12, in data all-reduce 345");
  EXPECT_LE(inside->changed_at, core::MonotonicSeconds());
  EXPECT_GT(inside->changed_at, core::MonotonicSeconds() - 60);
  writer.LeaveCollective();
  EXPECT_EQ(ReadBoard(directory / "board")->text(), "step, step 12, after data all-reduce 345");
}

TEST(Board, OutlivesItsWriter) {
  testing::TemporaryDirectory directory;
  { BoardWriter(directory / "board").SetStep(7); }
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
  writer.EnterCollective(std::string(100, 'x'), 1);
  EXPECT_EQ(ReadBoard(directory / "board")->collective, std::string(47, 'x'));
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
  std::atomic<bool> stop = false;
  writer.EnterCollective("name-0", 0);
  std::thread rank([&] {
    for (uint64_t i = 0; !stop; ++i) writer.EnterCollective("name-" + std::to_string(i), i);
  });
  for (int look = 0; look < 2000; ++look) {
    if (const auto board = ReadBoard(directory / "board")) {
      EXPECT_EQ(board->collective, "name-" + std::to_string(board->sequence));
    }
  }
  stop = true;
  rank.join();
}

}  // namespace
}  // namespace moat::rundir
