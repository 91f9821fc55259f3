// Going on without nodes that were lost.
#include "launch/fewer_nodes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/durable_file.h"
#include "launch/placement.h"
#include "launch/render.h"
#include "tests/launch/job.h"
#include "tests/support/temporary_directory.h"

namespace moat::launch {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kSlots = "n1 slots=2\nn2 slots=2\nn3 slots=2\n";

class FewerNodesTest : public ::testing::Test {
 protected:
  FewerNodesTest() {
    core::MakeDirectories(layout_.launch());
    core::WriteFileAtomically(hostfile_, kSlots);
  }
  JobSpec JobOn(int nodes, const std::vector<std::string>& more) {
    std::vector<std::string> flags = {"--hostfile=" + hostfile_.string(),
                                      "--ranks_per_node=2",
                                      "--nodes=" + std::to_string(nodes),
                                      "--global_batch=12",
                                      "--micro_batch=1",
                                      "--reduction=fast"};
    flags.insert(flags.end(), more.begin(), more.end());
    return Job(flags);
  }

  testing::TemporaryDirectory directory_;
  rundir::RunLayout layout_{directory_ / "r"};
  std::filesystem::path hostfile_ = directory_ / "hosts";
  NodeView lost_{"n2", "10.0.0.2", 2, 2, Link::kUnreachable, 0};
};

TEST_F(FewerNodesTest, ASubstituteIsTakenBeforeTheGridGetsSmaller) {
  JobSpec job = JobOn(2, {"--min_nodes=1"});
  LeaveOutLost(&lost_, layout_, job);
  EXPECT_EQ(core::ReadWholeFile(job.config.hostfile), "n1 slots=2\nn3 slots=2\n");
  EXPECT_EQ(Place(job.config).dp, 4);
  EXPECT_FALSE(job.smaller);
}

TEST_F(FewerNodesTest, WithoutASubstituteTheRanksOfTheLostNodeAreNotReplaced) {
  JobSpec job = JobOn(3, {"--min_nodes=2"});
  LeaveOutLost(&lost_, layout_, job);
  EXPECT_EQ(core::ReadWholeFile(job.config.hostfile), "n1 slots=2\nn3 slots=2\n");
  EXPECT_EQ(Place(job.config).ranks(), 4);
  const LaunchPlan plan = Render(job);
  EXPECT_EQ(plan.ranks, 4);
  EXPECT_EQ(plan.argv.back(), "--dp=4");  // the flags of the run say 6
}

TEST_F(FewerNodesTest, LessThanMinNodesIsNotTried) {
  for (const char* least : {"--min_nodes=0", "--min_nodes=3"}) {
    JobSpec job = JobOn(3, {least});
    LeaveOutLost(&lost_, layout_, job);
    EXPECT_EQ(job.config.hostfile, hostfile_);
    EXPECT_EQ(job.config.nodes, 3);
    EXPECT_THAT(Render(job).argv, Not(Contains(HasSubstr("--dp="))));
  }
}

TEST_F(FewerNodesTest, AGridIsLookedForThatTheMicroBatchesDivideBy) {
  const JobSpec job = JobOn(6, {"--min_nodes=1"});
  const auto smaller = OnAtMost(job.config, 5);  // 12 micro-batches: not over 5 x 2 nor 4 x 2 ranks
  ASSERT_TRUE(smaller);
  EXPECT_EQ(smaller->nodes, 3);
  EXPECT_EQ(Place(*smaller).dp, 6);
  JobSpec bounded = JobOn(6, {"--min_nodes=4"});
  EXPECT_FALSE(Shrink(5, bounded));
  EXPECT_EQ(bounded.config.nodes, 6);
}

TEST_F(FewerNodesTest, ATensorGroupStaysWhole) {
  const JobSpec job = JobOn(3, {"--tp=2", "--min_nodes=1"});
  EXPECT_EQ(Place(*OnAtMost(job.config, 2)).dp, 2);
  EXPECT_EQ(Place(*OnAtMost(job.config, 2)).ranks_per_node, 2);
}

}  // namespace
}  // namespace moat::launch
