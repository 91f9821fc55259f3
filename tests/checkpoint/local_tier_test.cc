// Copies on the nodes: what is still there after processes and nodes are lost, and what does not
// count any more.
#include "checkpoint/local_tier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "checkpoint/local_copies.h"
#include "comm/threads.h"
#include "core/durable_file.h"
#include "tests/checkpoint/sample_state.h"
#include "tests/support/temporary_directory.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;
using testing::SampleState;

void OnNodesOf(int per_node, int ranks, const std::function<void(comm::Communicator&)>& body) {
  comm::ThreadGroup::Run(ranks, body, comm::kDefaultDeadlineSeconds, per_node);
}

class LocalTierTest : public ::testing::Test {
 protected:
  LocalTierTest() { fs::create_directories(root()); }
  fs::path root() const { return shared_ / "run" / "ckpt"; }
  fs::path folder() const { return LocalFolder(local_.path(), root()); }
  fs::path node(int number) const { return folder() / ("node-0000" + std::to_string(number)); }

  // An attempt on nodes of two ranks: goes on from `start`, and copies each of `steps`.
  void Attempt(int ranks, const std::vector<int64_t>& steps, const Candidate* start = nullptr,
               const std::string& run_id = "sample") {
    OnNodesOf(2, ranks, [&](comm::Communicator& world) {
      LocalTier tier(local_.path(), root(), run_id, start, world);
      for (const int64_t step : steps) {
        const SampleState state(step, world.rank(), world.size());
        tier.Save(testing::SamplePosition(step), state.ToSave());
      }
    });
  }
  // What an attempt on nodes of `per_node` ranks finds, its ranks agreeing.
  std::vector<Candidate> Found(int ranks = 4, int per_node = 2) {
    std::vector<std::vector<Candidate>> found(static_cast<size_t>(ranks));
    OnNodesOf(per_node, ranks, [&](comm::Communicator& world) {
      found[static_cast<size_t>(world.rank())] = FindLocalCopies(local_.path(), root(), world);
    });
    for (const auto& one : found) EXPECT_EQ(one.size(), found[0].size());
    return found[0];
  }
  std::vector<int64_t> StepsFound(int ranks = 4) {
    std::vector<int64_t> steps;
    for (const Candidate& copy : Found(ranks)) steps.push_back(copy.manifest.position.step);
    steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
    return steps;
  }
  // The whole state of `step`, on a grid of other cuts, whose ranks see all folders or
  // (`as_found`) those of their nodes.
  void ExpectLoads(const Candidate& copy, int64_t step, int ranks = 3, bool as_found = false) {
    EXPECT_EQ(copy.manifest.position.step, step);
    OnNodesOf(2, ranks, [&](comm::Communicator& world) {
      SampleState state(step, world.rank(), ranks, 11);
      const SampleState expected(step, world.rank(), ranks, 11);
      const auto wanted = state.ToLoad();
      FilePlaces places = copy.places;
      for (auto& [name, place] : places) {
        if (!as_found) place.readers.clear();
      }
      Deliver(copy.manifest, places, wanted, world);
      EXPECT_TRUE(state == expected);
    });
  }

  testing::TemporaryDirectory shared_, local_;
};

TEST_F(LocalTierTest, TheNewestStepsAreFoundAndLoadOnAnyGrid) {
  EXPECT_TRUE(Found().empty());
  Attempt(4, {5, 6, 7});
  EXPECT_EQ(StepsFound(), (std::vector<int64_t>{7, 6}));
  EXPECT_EQ(fs::status(folder()).permissions(), fs::perms::owner_all);
  ExpectLoads(Found()[0], 7);
  ExpectLoads(Found(3)[0], 7, 5);
}

TEST_F(LocalTierTest, ALostNodesFilesComeFromItsPartners) {
  for (const int lost : {0, 2}) {
    Attempt(4, {5, 6, 7});
    fs::remove_all(node(lost));
    ASSERT_EQ(StepsFound(), (std::vector<int64_t>{7, 6}));
    ExpectLoads(Found()[0], 7, 4, true);
  }
}

TEST_F(LocalTierTest, OfThreeNodesAnyTwoMayBeLost) {
  for (const int kept : {0, 2, 4}) {
    Attempt(6, {5, 6});
    for (const int number : {0, 2, 4}) {
      if (number != kept) fs::remove_all(node(number));
    }
    ASSERT_EQ(StepsFound(), (std::vector<int64_t>{6, 5}));
    ExpectLoads(Found()[0], 6);
  }
}

TEST_F(LocalTierTest, WithBothOfAPairLostNothingCounts) {
  Attempt(8, {5, 6});
  fs::remove_all(node(4));
  fs::remove_all(node(6));
  EXPECT_TRUE(Found(8).empty());
}

TEST_F(LocalTierTest, OnNodesOfThreeAndOneEitherMayBeLost) {
  for (const int lost : {0, 3}) {
    OnNodesOf(3, 4, [&](comm::Communicator& world) {
      LocalTier tier(local_.path(), root(), "sample", nullptr, world);
      const SampleState state(5, world.rank(), 4);
      tier.Save(testing::SamplePosition(5), state.ToSave());
    });
    fs::remove_all(node(lost));
    const std::vector<Candidate> found = Found(4, 3);
    ASSERT_FALSE(found.empty()) << "without node " << lost;
    ExpectLoads(found[0], 5);
  }
}

TEST_F(LocalTierTest, PartsOfTwoStepsAreNeverTakenForOne) {
  Attempt(4, {5, 6});
  for (const int holder : {0, 2}) {  // a line that no CRC covers says 5 of what is of step 6
    fs::remove(node(holder) / "place-0" / PartName(3));
    const fs::path part = node(holder) / "place-1" / PartName(3);
    std::string text = core::ReadWholeFile(part);
    const size_t step = text.find(" 6 ");
    ASSERT_LT(step, text.find('\n'));
    text[step + 1] = '5';
    std::ofstream(part, std::ios::binary) << text;
  }
  ::testing::internal::CaptureStderr();
  EXPECT_TRUE(Found().empty());
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              ::testing::HasSubstr("a part of it is of step 6 of run sample"));
}

TEST_F(LocalTierTest, CopiesOfAnotherRunDoNotCount) {
  Attempt(4, {5}, nullptr, "other");  // whose claim is not of the run that its parts are of
  EXPECT_TRUE(Found().empty());
}

TEST_F(LocalTierTest, AnAttemptWithoutCopiesMakesThoseBeforeItStopCounting) {
  Attempt(4, {5, 6});
  for (const char* how : {"copies are there", "there is nothing to forget"}) {
    OnNodesOf(2, 4, [&](comm::Communicator& world) { ForgetLocalCopies(root(), world); });
    EXPECT_TRUE(Found().empty()) << how;
  }
}

TEST_F(LocalTierTest, AClaimThatCannotBeRemovedEndsAllRanksAlike) {
  fs::create_directories(root() / kLocalName / "in the way");
  OnNodesOf(2, 4, [&](comm::Communicator& world) {
    EXPECT_THROW(ForgetLocalCopies(root(), world), core::StorageError);
  });
}

TEST_F(LocalTierTest, AStepThatNotAllRanksHaveIsPassedOver) {
  Attempt(4, {5, 6});
  for (const int holder : {0, 2}) {  // rank 3 died before it was done with step 6
    fs::remove(node(holder) / "place-1" / PartName(3));
  }
  EXPECT_EQ(StepsFound(), (std::vector<int64_t>{5}));
}

TEST_F(LocalTierTest, WhatIsDamagedInOneCopyIsWellInTheOther) {
  Attempt(4, {5});
  const fs::path file = node(0) / "place-0" / "rank-00000.safetensors";
  std::string bytes = core::ReadWholeFile(file);
  bytes[bytes.size() - 100] ^= 4;
  std::ofstream(file, std::ios::binary) << bytes;
  const std::vector<Candidate> found = Found();
  ASSERT_EQ(found.size(), 2u);
  try {
    ExpectLoads(found[0], 5, 1);
    ADD_FAILURE() << "a flipped bit was not seen";
  } catch (const core::DataError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr(file.string() + ": the bytes of tensor '"));
  }
  ExpectLoads(found[1], 5);
}

TEST_F(LocalTierTest, OnlyTheNewestAttemptAndWhatItWentOnFromCount) {
  Attempt(4, {5, 6, 7});
  const std::vector<Candidate> found = Found();
  Attempt(4, {}, &found[0]);  // goes on from step 7 and dies at once
  EXPECT_EQ(StepsFound(), (std::vector<int64_t>{7}));
  const std::vector<Candidate> again = Found();
  Attempt(2, {8}, &again[0]);  // on another grid
  EXPECT_EQ(StepsFound(), (std::vector<int64_t>{8, 7}));
  const std::vector<Candidate> third = Found();
  Attempt(2, {9, 10}, &third[0]);
  EXPECT_EQ(StepsFound(), (std::vector<int64_t>{10, 9}));
  ExpectLoads(Found()[0], 10);
  Attempt(4, {});  // goes on from a checkpoint of the shared tier
  EXPECT_TRUE(Found().empty());
}

TEST_F(LocalTierTest, ARunThatWasRemovedAndBeginsAgainFindsNothing) {
  Attempt(4, {5, 6});
  fs::remove_all(root());
  fs::create_directories(root());
  EXPECT_TRUE(Found().empty());
}

TEST_F(LocalTierTest, AtItsEndNothingIsLeft) {
  OnNodesOf(2, 4, [&](comm::Communicator& world) {
    LocalTier tier(local_.path(), root(), "sample", nullptr, world);
    const SampleState state(5, world.rank(), 4);
    tier.Save(testing::SamplePosition(5), state.ToSave());
    EXPECT_EQ(tier.copies(), 1);
    tier.Remove(root());
  });
  EXPECT_TRUE(fs::is_empty(local_.path()));
  EXPECT_FALSE(fs::exists(root() / kLocalName));
}

TEST_F(LocalTierTest, AFolderThatCannotBeWrittenIsRefusedByAllRanks) {
  std::ofstream(local_ / "file") << "x";
  OnNodesOf(2, 4, [&](comm::Communicator& world) {
    EXPECT_THROW(LocalTier(local_ / "file", root(), "sample", nullptr, world), core::StorageError);
  });
}

TEST_F(LocalTierTest, ARankThatCannotWriteTurnsItOffAndWhatIsWholeStays) {
  OnNodesOf(2, 4, [&](comm::Communicator& world) {
    LocalTier tier(local_.path(), root(), "sample", nullptr, world);
    for (const int64_t step : {5, 6, 7, 8}) {
      if (step == 6 && world.rank() == 0) {  // before it writes there
        fs::create_directories(node(2) / "place-1");
        fs::create_directories(node(2) / "place-1" / "rank-00003.safetensors");
      }
      world.Barrier();
      const SampleState state(step, world.rank(), 4);
      tier.Save(testing::SamplePosition(step), state.ToSave());
    }
    EXPECT_EQ(tier.copies(), 2);
  });
  EXPECT_EQ(StepsFound(), (std::vector<int64_t>{5}));
  ExpectLoads(Found()[0], 5);
}

}  // namespace
}  // namespace moat::checkpoint
