// Which runs read a user, by the content digests of their capsules.
#include "programs/moat_data/user_runs.h"

#include <gtest/gtest.h>

#include "checkpoint/manifest/manifest.h"
#include "core/durable_file.h"
#include "rundir/capsule.h"
#include "tests/support/temporary_directory.h"

namespace moat::programs {
namespace {

// Four versions: version 3 appended what holds the user, version 4 forgot somebody of version 1.
data::UserStatistics History() {
  data::UserStatistics user;
  user.versions = {{1, "import", 0, 0, {"a", "a2"}, {}},
                   {2, "append", 0, 0, {"b", "b2"}, {}},
                   {3, "append", 0, 0, {"c", "c2"}, {{"train", {5, 50}}}},
                   {4, "forget", 0, 7, {"c2"}, {{"train", {5, 50}}}}};
  return user;
}

class UserRunsTest : public ::testing::Test {
 protected:
  void AddAttempt(const std::string& run, int attempt, const std::string& content) const {
    std::filesystem::create_directories(root_ / run);
    rundir::CapsuleEntry entry;
    entry.attempt = attempt;
    entry.data = {{"content", content}};
    rundir::AppendCapsule({root_ / run}, entry);
  }

  testing::TemporaryDirectory root_;
};

TEST_F(UserRunsTest, ListsRunsOfVersionsThatHoldTheUserAndNoOthers) {
  AddAttempt("before", 0, "b2");
  AddAttempt("other-data", 0, "x");
  AddAttempt("with", 0, "c2");
  AddAttempt("with", 1, "c2");
  std::filesystem::create_directories(root_ / "no-capsule");
  const std::vector<UserRun> runs = RunsThatReadUser(root_.path(), History());
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].run, "with");
  EXPECT_EQ(runs[0].attempts, (std::vector<int>{0, 1}));
  EXPECT_EQ(runs[0].version, 3);
  EXPECT_EQ(runs[0].interactions, 5);
  EXPECT_EQ(runs[0].forgotten_since, 0);
}

TEST_F(UserRunsTest, SaysWhatWasForgottenSinceARunReadIt) {
  AddAttempt("early", 0, "a");
  AddAttempt("early", 1, "a2");
  AddAttempt("late", 0, "c");
  const std::vector<UserRun> runs = RunsThatReadUser(root_.path(), History());
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].run, "early");
  EXPECT_EQ(runs[0].attempts, (std::vector<int>{0}));
  EXPECT_EQ(runs[0].interactions, 0);
  EXPECT_EQ(runs[0].forgotten_since, 7);
  EXPECT_EQ(runs[1].interactions, 5);
  EXPECT_EQ(runs[1].forgotten_since, 7);
}

TEST_F(UserRunsTest, NamesCheckpointsAndLooksIntoMixtures) {
  checkpoint::Manifest manifest;
  manifest.position.step = 20;
  manifest.position.values["identity"] = R"({"data content": "x,c2"})";
  const std::filesystem::path directory = root_ / "mixed/ckpt/step-00000020";
  std::filesystem::create_directories(directory);
  core::WriteFileAtomically(directory / checkpoint::kManifestName, manifest.ToText());
  AddAttempt("mixed", 0, "x,c2");
  const std::vector<UserRun> runs = RunsThatReadUser(root_.path(), History());
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].attempts, (std::vector<int>{0}));
  EXPECT_EQ(runs[0].checkpoints, (std::vector<std::string>{"step-00000020"}));
  EXPECT_NE(ToText(runs).find("checkpoints step-00000020: read version 3"), std::string::npos);
}

TEST_F(UserRunsTest, WithoutADirectoryOfRunsThereAreNone) {
  EXPECT_TRUE(RunsThatReadUser(root_ / "absent", History()).empty());
}

}  // namespace
}  // namespace moat::programs
