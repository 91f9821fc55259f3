// What a job's legs leave behind.
#include "launch/allocation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/durable_file.h"
#include "core/error.h"
#include "tests/support/temporary_directory.h"

namespace moat::launch {
namespace {

TEST(Legs, ThoseAtTheEndThatSavedNothingNewAreCounted) {
  const testing::TemporaryDirectory directory;
  const rundir::RunLayout layout{directory.path()};
  core::MakeDirectories(layout.launch());
  EXPECT_EQ(LegsWithoutProgress(layout), 0);
  AppendLeg(layout, {"7", 0, 75, -1, -1});
  AppendLeg(layout, {"7", 1, 75, -1, 40});
  EXPECT_EQ(LegsWithoutProgress(layout), 0);
  AppendLeg(layout, {"7", 2, 75, 40, 40});
  std::ofstream(layout.job_legs(), std::ios::app) << "{torn\n";
  AppendLeg(layout, {"9", 0, 69, 40, 40});
  EXPECT_EQ(LegsWithoutProgress(layout), 2);
  EXPECT_EQ(LegsOf(layout), 4);
}

TEST(NodeOf, IsTheHostsElseTheRanksByBlocks) {
  const std::vector<std::string> nodes = {"a1", "a2", "b7"};
  EXPECT_EQ(NodeOf({5, "cluster-b7", ""}, nodes, 2), "b7");
  EXPECT_EQ(NodeOf({0, "b7", ""}, nodes, 2), "b7");
  EXPECT_EQ(NodeOf({0, "cluster-b7", ""}, nodes, 2), "a1");
  EXPECT_EQ(NodeOf({-1, "a2", ""}, nodes, 2), "a2");
  EXPECT_EQ(NodeOf({-1, "elsewhere", ""}, nodes, 2), std::nullopt);
}

TEST(Allocation, OutsideAJobThereIsNone) {
  unsetenv("SLURM_JOB_ID");
  EXPECT_THROW(AllocationFromEnvironment(), core::ConfigError);
}

}  // namespace
}  // namespace moat::launch
