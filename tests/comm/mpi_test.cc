// The conformance suite on ranks as processes, over shared memory and over messages. Runs under
// mpirun with several numbers of ranks; has its own main, because MPI starts before the tests.
#include "comm/mpi.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/conformance/communicator_suite.h"

namespace moat {
namespace {

using comm::MpiPath;

comm::MpiSession* g_session = nullptr;

std::vector<int> Everybody() {
  std::vector<int> ranks;
  for (int r = 0; r < g_session->size(); ++r) ranks.push_back(r);
  return ranks;
}

class MpiCommunicatorOverPath : public ::testing::TestWithParam<MpiPath> {
 protected:
  std::unique_ptr<comm::Communicator> Make(const std::string& name, int64_t piece_bytes = 1 << 16) {
    return g_session->Group(name, Everybody(), GetParam(), piece_bytes);
  }
};
INSTANTIATE_TEST_SUITE_P(Paths, MpiCommunicatorOverPath,
                         ::testing::Values(MpiPath::kSharedMemory, MpiPath::kNetwork),
                         [](const auto& info) {
                           return info.param == MpiPath::kNetwork ? "network" : "shm";
                         });

TEST_P(MpiCommunicatorOverPath, Conforms) {
  const int64_t piece = 1 << 16;
  const auto group = Make("world", piece);
  const int64_t buffer = 4 * 64 * 1000 * group->size();
  testing::CommunicatorConforms(*group, buffer / piece + 1);
}

TEST_P(MpiCommunicatorOverPath, BitsDoNotDependOnThePiece) {
  for (const int64_t piece : {1 << 10, 1 << 14, 1 << 20}) {
    const auto group = Make("pieces", piece);
    testing::TreeHasItsOwnBits(*group);
  }
}

TEST_P(MpiCommunicatorOverPath, MixUpIsAnError) {
  if (g_session->size() == 1) return;
  testing::MixUpIsAnError(*Make("mixed"));
}

TEST_P(MpiCommunicatorOverPath, MissingRankIsNamedByTheOthers) {
  if (g_session->size() == 1) return;
  testing::MissingRankIsNamed(*Make("incomplete"));
}

TEST(MpiSession, KnowsItsRanks) {
  EXPECT_EQ(g_session->local_size(), g_session->size());  // one machine
  EXPECT_EQ(g_session->local_rank(), g_session->rank());
  EXPECT_FALSE(g_session->host(0).empty());
  const auto world = g_session->World();
  EXPECT_EQ(world->rank(), g_session->rank());
}

TEST(MpiSession, LeavesNoNameInSharedMemory) {
  const auto world = g_session->World();
  const std::string mine = "moat-" + std::to_string(getpid()) + "-";
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    EXPECT_NE(entry.path().filename().string().rfind(mine, 0), 0u) << entry.path();
  }
}

TEST(MpiSession, GroupThatDoesNotFitSharedMemorySaysSoOrTakesMessages) {
  if (g_session->size() == 1) return;
  const int64_t too_large = int64_t{1} << 45;
  EXPECT_THROW(g_session->Group("huge", Everybody(), MpiPath::kSharedMemory, too_large),
               core::StorageError);
  const auto group = g_session->Group("huge", Everybody(), MpiPath::kAuto, too_large);
  testing::TextAndFlags(*group);
}

}  // namespace
}  // namespace moat

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  return moat::core::RunMain([&] {
    moat::comm::MpiSession session(&argc, &argv, {.deadline_seconds = 120});
    moat::g_session = &session;
    if (session.rank() != 0) {  // one report; what fails elsewhere is printed all the same
      ::testing::GTEST_FLAG(output) = "";
    }
    const int failed = RUN_ALL_TESTS();
    const bool any = session.World()->AnyOf(failed != 0);
    return any ? 1 : 0;
  });
}
