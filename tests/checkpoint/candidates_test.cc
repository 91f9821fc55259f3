// What a run may go on from, in which order, and what is said of the rest.
#include "checkpoint/candidates.h"

#include <gtest/gtest.h>

#include <fstream>

#include "comm/threads.h"
#include "tests/checkpoint/sample_state.h"
#include "tests/support/temporary_directory.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;

class CandidatesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const int64_t step : {10, 20, 30}) {
      comm::ThreadGroup::Run(2, [&](comm::Communicator& world) {
        const testing::SampleState state(step, world.rank(), 2);
        Save({root_.path(), 3}, testing::SamplePosition(step), state.ToSave(), world);
      });
    }
  }
  static void Spoil(const fs::path& directory) {
    std::ofstream(directory / kManifestName, std::ios::app) << "x";
  }
  // The steps that two ranks are given, which must be the same; 0 at the end of the line.
  std::vector<int64_t> Given(const std::vector<Candidate>& others = {}) {
    std::vector<std::vector<int64_t>> given(2);
    std::vector<std::string> said(2);
    comm::ThreadGroup::Run(2, [&](comm::Communicator& world) {
      Candidates candidates(root_.path(), world, others);
      auto& mine = given[static_cast<size_t>(world.rank())];
      try {
        while (const auto next = candidates.Next()) {
          mine.push_back(next->manifest.position.step);
          candidates.PassOver("step " + std::to_string(mine.back()) + " is no good");
        }
        mine.push_back(0);
      } catch (const core::StorageError& error) {
        said[static_cast<size_t>(world.rank())] = error.what();
      }
    });
    EXPECT_EQ(given[0], given[1]);
    EXPECT_EQ(said[0], said[1]);
    said_ = said[0];
    return given[0];
  }
  testing::TemporaryDirectory root_;
  std::string said_;
};

TEST_F(CandidatesTest, NewestFirstAndAllReasonsWhenNoneIsLeft) {
  EXPECT_EQ(Given(), (std::vector<int64_t>{30, 20, 10}));
  for (const char* step : {"30", "20", "10"}) {
    EXPECT_NE(said_.find(std::string("step ") + step + " is no good"), std::string::npos) << said_;
  }
}

TEST_F(CandidatesTest, SpoiltManifestIsPassedOver) {
  Spoil(root_ / "step-00000020");
  EXPECT_EQ(Given(), (std::vector<int64_t>{30, 10}));
  EXPECT_NE(said_.find("step-00000020"), std::string::npos) << said_;
}

TEST_F(CandidatesTest, OthersTakeTheirPlaceByStepBehindADirectoryOfTheSame) {
  std::vector<Candidate> others(3);
  others[0].manifest.position.step = 31;
  others[1].manifest.position.step = 20;
  others[1].directory = "elsewhere";
  others[2].manifest.position.step = 3;
  EXPECT_EQ(Given(others), (std::vector<int64_t>{31, 30, 20, 20, 10, 3}));
}

TEST_F(CandidatesTest, NothingIsNoError) {
  for (const char* step : {"10", "20", "30"})
    fs::remove_all(root_ / ("step-000000" + std::string(step)));
  EXPECT_EQ(Given(), (std::vector<int64_t>{0}));
}

}  // namespace
}  // namespace moat::checkpoint
