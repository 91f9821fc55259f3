// Saves beside training: what they write, when the ranks agree, and how they fail.
#include "checkpoint/saver.h"

#include <gtest/gtest.h>

#include <fstream>
#include <mutex>

#include "checkpoint/rank_file.h"
#include "comm/threads.h"
#include "core/crc32c.h"
#include "tests/checkpoint/sample_state.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_directory.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;
using testing::SamplePosition;
using testing::SampleState;

// Overwrites what a state holds, as training does.
void Scribble(SampleState& state) { state.ToLoad(); }

TEST(Saver, WritesTheStateAsItWasWhenItBegan) {
  testing::TemporaryDirectory root;
  for (const int threads : {1, 3}) {
    comm::ThreadGroup::Run(3, [&](comm::Communicator& world) {
      Saver saver({root.path()}, "sample", world);
      SampleState state(threads, world.rank(), 3);
      saver.Begin(SamplePosition(threads), state.ToSave(), {}, threads);
      Scribble(state);
      const SaveResult result = saver.Finish();
      ASSERT_TRUE(result.ok());
      EXPECT_EQ(result.step, threads);
      EXPECT_TRUE(testing::HoldsStep(result.directory, threads));
    });
  }
}

TEST(Saver, TheMemoryOfOneCopyServesTheNext) {
  testing::TemporaryDirectory root;
  comm::ThreadGroup::Run(2, [&](comm::Communicator& world) {
    Saver saver({root.path()}, "sample", world);
    saver.Reserve(SampleState(1, world.rank(), 2).ToSave());
    for (const int64_t step : {1, 2, 3}) {
      SampleState state(step, world.rank(), 2);
      saver.Begin(SamplePosition(step), state.ToSave(), {}, 2);
      Scribble(state);
      EXPECT_TRUE(testing::HoldsStep(saver.Finish().directory, step));
    }
  });
}

// A rank that is not through, as the gathered words have it, keeps the save in flight; nothing is
// committed before two agreements.
TEST(Saver, CommitsOnlyWhatAllRanksSayIsWritten) {
  testing::TemporaryDirectory root;
  comm::ThreadGroup::Run(2, [&](comm::Communicator& world) {
    Saver saver({root.path()}, "sample", world);
    const SampleState state(7, world.rank(), 2);
    EXPECT_FALSE(saver.Advance(SaveProgress::kDone, SaveProgress::kDone));  // nothing is in flight
    saver.Begin(SamplePosition(7), state.ToSave(), {}, 1);
    EXPECT_FALSE(saver.Advance(SaveProgress::kWorking, SaveProgress::kDone));
    EXPECT_TRUE(saver.in_flight());
    EXPECT_TRUE(ListCheckpoints(root.path()).empty());
    world.Barrier();
    const SaveResult result = saver.Finish();
    EXPECT_FALSE(saver.in_flight());
    EXPECT_EQ(result.directory.filename(), "step-00000007");
  });
}

TEST(Saver, AFailureIsTheSameOnAllRanksAndTheNextSaveWorks) {
  testing::TemporaryDirectory root;
  for (const char* fault : {"checkpoint.prepared:throw:2", "checkpoint.before_file_sync:throw:0",
                            "checkpoint.file_written:throw:1", "checkpoint.before_manifest:throw",
                            "checkpoint.before_rename:throw"}) {
    const fs::path here = root / fault;
    comm::ThreadGroup::Run(3, [&](comm::Communicator& world) {
      Saver saver({here}, "sample", world);
      const SampleState state(5, world.rank(), 3);
      if (world.rank() == 0) setenv("MOAT_FAULT", fault, 1);
      world.Barrier();
      saver.Begin(SamplePosition(5), state.ToSave(), {}, 1);
      const SaveResult failed = saver.Finish();
      EXPECT_FALSE(failed.ok()) << fault;
      EXPECT_TRUE(testing::Contains(failed.failure.text, "asked for by MOAT_FAULT"))
          << failed.failure.text;
      EXPECT_TRUE(failed.directory.empty());
      EXPECT_TRUE(fs::is_empty(here)) << fault;
      world.Barrier();
      if (world.rank() == 0) unsetenv("MOAT_FAULT");
      world.Barrier();
      saver.Begin(SamplePosition(6), state.ToSave(), {}, 1);
      EXPECT_TRUE(saver.Finish().ok()) << fault;
    });
  }
}

// What a processor or memory changed on the way is not saved as if it were the state.
TEST(Saver, BytesThatChangedAfterTheSnapshotAreRefused) {
  testing::TemporaryDirectory root;
  const SampleState state(3, 0, 1);
  std::vector<SliceToSave> slices = state.ToSave();
  for (SliceToSave& slice : slices) {
    slice.crc32c = core::Crc32c(slice.data.data, static_cast<size_t>(slice.data.bytes().value));
  }
  WriteRankFile(root.path(), SamplePosition(3), slices, 0);
  *slices[1].crc32c ^= 1;
  const std::string error = testing::ErrorOf(
      core::ExitCode::kStorage, [&] { WriteRankFile(root.path(), SamplePosition(3), slices, 0); });
  EXPECT_TRUE(testing::Contains(error, "'" + slices[1].tensor + "'")) << error;
  EXPECT_TRUE(testing::Contains(error, "changed in memory")) << error;
}

TEST(Saver, WhatAKilledSaveLeftGoesBeforeTheFirstOneAndOthersStay) {
  testing::TemporaryDirectory root;
  fs::create_directories(root / "step-00000030");
  std::ofstream(root / "step-00000030" / kManifestName) << "committed";
  fs::create_directories(root / ".tmp-sample-40");
  fs::create_directories(root / ".tmp-other-40");
  comm::ThreadGroup::Run(2, [&](comm::Communicator& world) {
    const Saver saver({root.path()}, "sample", world);
    EXPECT_FALSE(fs::exists(root / ".tmp-sample-40"));
    EXPECT_TRUE(fs::exists(root / ".tmp-other-40"));
  });
}

// A run that was killed before its first commit began under another id.
TEST(Saver, EarlierBeginningsOfTheRunLeaveNothingEither) {
  testing::TemporaryDirectory root;
  fs::create_directories(root / ".tmp-earlier-40");
  comm::ThreadGroup::Run(2, [&](comm::Communicator& world) {
    const Saver saver({root.path()}, "sample", world);
    EXPECT_TRUE(fs::is_empty(root.path()));
  });
}

TEST(Saver, APlaceThatCannotBeWrittenIsAnErrorOnAllRanksBeforeAnySave) {
  testing::TemporaryDirectory root;
  std::ofstream(root / "file") << "in the way";
  std::mutex mutex;
  int refused = 0;
  comm::ThreadGroup::Run(3, [&](comm::Communicator& world) {
    try {
      const Saver saver({root / "file"}, "sample", world);
    } catch (const core::StorageError&) {
      const std::lock_guard lock(mutex);
      ++refused;
    }
  });
  EXPECT_EQ(refused, 3);
}

}  // namespace
}  // namespace moat::checkpoint
