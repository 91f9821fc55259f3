// The conformance suite on groups of one and on ranks as threads, and the end of a group.
#include "comm/threads.h"

#include <gtest/gtest.h>

#include "comm/grid.h"
#include "comm/self.h"
#include "rundir/board.h"
#include "tests/conformance/communicator_suite.h"
#include "tests/support/temporary_directory.h"

namespace moat {
namespace {

using comm::Communicator;
using comm::ThreadGroup;

TEST(SelfCommunicator, Conforms) {
  const auto self = comm::MakeSelf();
  EXPECT_EQ(self->size(), 1);
  testing::CommunicatorConforms(*self, 1);
}

class ThreadCommunicatorOfSize : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Sizes, ThreadCommunicatorOfSize,
                         ::testing::Values(1, 2, 3, 4, 5, 6, 7, 8));

TEST_P(ThreadCommunicatorOfSize, Conforms) {
  ThreadGroup::Run(GetParam(),
                   [](Communicator& world) { testing::CommunicatorConforms(world, 1); });
}

TEST_P(ThreadCommunicatorOfSize, MixUpIsAnError) {
  if (GetParam() == 1) return;  // there is nobody to disagree with
  ThreadGroup::Run(GetParam(), testing::MixUpIsAnError);
}

TEST(ThreadGroup, MissingRankIsNamedByTheOthers) {
  ThreadGroup::Run(3, [](Communicator& world) { testing::MissingRankIsNamed(world); });
}

// What a rank is in, by its board, before and after its peers fail it.
TEST(ThreadGroup, BoardsShowTheLastCallOfAGroupAndOfGroupsMadeFromIt) {
  testing::TemporaryDirectory directory;
  const auto text = [&](int rank) {
    return rundir::ReadBoard(directory / ("board-" + std::to_string(rank)))->text();
  };
  ThreadGroup::Run(2, [&](Communicator& world) {
    rundir::BoardWriter board(directory / ("board-" + std::to_string(world.rank())));
    world.ShowOn(&board);
    const auto data = world.Group("data", {0, 1});
    data->Barrier();
    EXPECT_EQ(text(world.rank()), "starting, step 0, after data barrier 1");
    if (world.rank() == 0) {
      world.SetDeadline(0.1);
      EXPECT_THROW(world.Barrier(), core::PeerError);
      EXPECT_NE(text(0).find(", in world barrier "), std::string::npos) << text(0);
    }
    world.ShowOn(nullptr);
  });
}

TEST(ThreadGroup, RankThatThrowsReleasesTheOthers) {
  std::atomic<int> released{0};
  try {
    ThreadGroup::Run(4, [&](Communicator& world) {
      const auto half =
          world.Group("half", world.rank() < 2 ? std::vector<int>{0, 1} : std::vector<int>{2, 3});
      if (world.rank() == 3) throw core::DataError("bad record");
      try {
        if (world.rank() == 2) half->Barrier();
        world.Barrier();
      } catch (const core::PeerError& error) {
        EXPECT_NE(std::string(error.what()).find("rank 3"), std::string::npos) << error.what();
        ++released;
        throw;
      }
    });
    FAIL();
  } catch (const core::DataError& error) {
    EXPECT_STREQ(error.what(), "bad record");
  }
  EXPECT_EQ(released, 3);
}

TEST(Grid, DataAndTensorGroupsFollowTheGrid) {
  ThreadGroup::Run(6, [](Communicator& world) {
    const parallel::ProcessGrid grid(6, 3, 2);
    const comm::GridCommunicators groups = comm::MakeGrid(world, grid);
    EXPECT_EQ(groups.data->size(), 3);
    EXPECT_EQ(groups.tensor->size(), 2);
    EXPECT_EQ(groups.data->rank(), grid.DpIndex(world.rank()));
    EXPECT_EQ(groups.tensor->rank(), grid.TpIndex(world.rank()));
    EXPECT_TRUE(groups.data->AnyOf(groups.data->rank() == 2));
  });
}

}  // namespace
}  // namespace moat
