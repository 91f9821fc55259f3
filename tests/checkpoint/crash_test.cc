// Death and full disks at every step of a save: what was good stays good, and the next save works.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "comm/self.h"
#include "tests/checkpoint/sample_state.h"
#include "tests/support/temporary_directory.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;

// Runs save_once; its wait status.
int SaveElsewhere(const fs::path& root, int64_t step, const std::string& fault = "",
                  const std::string& largest_file = "") {
  const std::string program = MOAT_BINARY_DIR "/tests/save_once";
  const std::string step_text = std::to_string(step);
  const pid_t child = fork();
  if (child == 0) {
    if (!fault.empty()) setenv("MOAT_FAULT", fault.c_str(), 1);
    execl(program.c_str(), program.c_str(), root.c_str(), step_text.c_str(), "3",
          largest_file.empty() ? nullptr : largest_file.c_str(), nullptr);
    _exit(127);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

bool HasTemporary(const fs::path& root) {
  for (const auto& entry : fs::directory_iterator(root)) {
    if (entry.path().filename().string()[0] == '.') return true;
  }
  return false;
}

struct Point {
  const char* name;
  int64_t newest_afterwards;  // of steps 10, 20 and then 30, which is struck
};

class SaveStruckAt : public ::testing::TestWithParam<Point> {
 protected:
  void SetUp() override {
    ASSERT_EQ(SaveElsewhere(root_.path(), 10), 0);
    ASSERT_EQ(SaveElsewhere(root_.path(), 20), 0);
  }
  void ExpectNewest(int64_t step) {
    const auto newest = ChooseNewest(root_.path(), *comm::MakeSelf());
    ASSERT_TRUE(newest.has_value());
    EXPECT_EQ(newest->filename(), CheckpointName(step, 1));
    EXPECT_TRUE(testing::HoldsStep(*newest, step));
  }
  void ExpectNextSaveWorks() {
    ASSERT_EQ(SaveElsewhere(root_.path(), 40), 0);
    ExpectNewest(40);
    EXPECT_FALSE(HasTemporary(root_.path()));
  }
  testing::TemporaryDirectory root_;
};

INSTANTIATE_TEST_SUITE_P(
    Points, SaveStruckAt,
    ::testing::Values(Point{"checkpoint.prepared", 20}, Point{"checkpoint.before_file_sync", 20},
                      Point{"checkpoint.file_written", 20}, Point{"checkpoint.before_manifest", 20},
                      Point{"checkpoint.before_rename", 20}, Point{"checkpoint.after_rename", 30},
                      Point{"checkpoint.removing", 30}),
    [](const auto& info) { return std::string(info.param.name + sizeof "checkpoint." - 1); });

TEST_P(SaveStruckAt, KillLeavesTheNewestGoodOne) {
  const std::string fault = std::string(GetParam().name) + ":kill";
  const int status = SaveElsewhere(root_.path(), 30, fault);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the point was not reached";
  ExpectNewest(GetParam().newest_afterwards);
  ExpectNextSaveWorks();
}

TEST_P(SaveStruckAt, FailureIsAStorageErrorAndLeavesNothingHalfWritten) {
  const std::string fault = std::string(GetParam().name) + ":throw";
  const int status = SaveElsewhere(root_.path(), 30, fault);
  ASSERT_TRUE(WIFEXITED(status));
  const bool removing = std::string(GetParam().name) == "checkpoint.removing";
  // Once committed, an old one that cannot be removed is a warning.
  EXPECT_EQ(WEXITSTATUS(status), removing ? 0 : static_cast<int>(core::ExitCode::kStorage));
  EXPECT_TRUE(removing || !HasTemporary(root_.path()));
  ExpectNewest(GetParam().newest_afterwards);
  ExpectNextSaveWorks();
}

TEST(Save, OneRankThatFailsFailsAll) {
  testing::TemporaryDirectory root;
  const int status = SaveElsewhere(root.path(), 10, "checkpoint.file_written:throw:2");
  EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(core::ExitCode::kStorage));
  EXPECT_TRUE(fs::is_empty(root.path()));
}

TEST(Save, FullDiskIsAStorageErrorAndLeavesNothingHalfWritten) {
  testing::TemporaryDirectory root;
  ASSERT_EQ(SaveElsewhere(root.path(), 10), 0);
  // No file fits, then none whole, then all but that of rank 0.
  for (const char* largest : {"100", "1500", "4000"}) {
    const int status = SaveElsewhere(root.path(), 20, "", largest);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(core::ExitCode::kStorage)) << largest;
    EXPECT_FALSE(HasTemporary(root.path()));
    EXPECT_EQ(ListCheckpoints(root.path()).size(), 1u);
  }
  EXPECT_TRUE(testing::HoldsStep(root / "step-00000010", 10));
}

TEST(Save, RootThatCannotBeMadeIsAStorageError) {
  const int status = SaveElsewhere("/proc/moat-ckpt", 10);
  EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(core::ExitCode::kStorage));
}

}  // namespace
}  // namespace moat::checkpoint
