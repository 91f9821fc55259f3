// What Slurm's commands print, read.
#include "launch/slurm_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/support/errors.h"

namespace moat::launch {
namespace {

using ::testing::HasSubstr;

TEST(Queue, JobsAreFoundByTheirScript) {
  const auto jobs = ParseQueue(
      "12|RUNNING|None|/a/runs/one/launch/job.sbatch\n"
      "14|PENDING|Dependency|/a/runs/one/launch/job.sbatch\n"
      "13|PENDING|Resources|/it's|odd/job.sbatch\n");
  ASSERT_EQ(jobs.size(), 3u);
  EXPECT_EQ(JobOf(jobs, "/a/runs/one/launch/job.sbatch")->id, "14");
  EXPECT_EQ(Describe(*JobOf(jobs, "/it's|odd/job.sbatch")), "job 13 (pending: Resources)");
  EXPECT_EQ(Describe(jobs[0]), "job 12 (running)");
  EXPECT_FALSE(JobOf(jobs, "/a/runs/two/launch/job.sbatch"));
}

TEST(Queue, TasksOfAnArrayAreFoundByTheirNumber) {
  const auto jobs = ParseQueue(
      "20_3|RUNNING|None|/a/job.sbatch\n"
      "20_13|PENDING|JobArrayTaskLimit|/a/job.sbatch\n"
      "24_3|PENDING|Dependency|/a/job.sbatch\n"
      "25_3|PENDING|None|/b/job.sbatch\n");
  EXPECT_EQ(JobOf(jobs, "/a/job.sbatch", 13)->id, "20_13");
  EXPECT_EQ(JobOf(jobs, "/a/job.sbatch", 3)->id, "24_3");
  EXPECT_FALSE(JobOf(jobs, "/a/job.sbatch", 1));
  EXPECT_FALSE(JobOf(jobs, "/a/job.sbatch"));
}

TEST(Queue, NumbersOfTasksAreWrittenAsRanges) {
  EXPECT_EQ(ArrayOf({0}, 0), "0");
  EXPECT_EQ(ArrayOf({0, 1, 2, 3}, 2), "0-3%2");
  EXPECT_EQ(ArrayOf({1, 3, 4, 7, 8, 9, 11}, 0), "1,3-4,7-9,11");
}

TEST(Queue, ArraysEndWhereTheClusterSays) {
  EXPECT_EQ(
      ParseMaxArraySize("MailProg = /bin/mail\nMaxArraySize            = 1001\nMaxDBDMsgs = 2\n"),
      1001);
  EXPECT_EQ(ParseMaxArraySize("MailProg = /bin/mail\n"), std::nullopt);
}

class PartitionTest : public ::testing::Test {
 protected:
  std::string Refusal(const std::string& asked, int nodes, const std::string& time) {
    return testing::ErrorOf(core::ExitCode::kConfig,
                            [&] { CheckFits(partitions_, asked, nodes, time); });
  }
  std::vector<Partition> partitions_ =
      ParsePartitions("work*|16|infinite\ndebug|2|30:00\nlong|8|7-00:00:00\n");
};

TEST_F(PartitionTest, AJobThatFitsIsNotRefused) {
  EXPECT_NO_THROW(CheckFits(partitions_, "", 16, ""));
  EXPECT_NO_THROW(CheckFits(partitions_, "debug", 2, "00:30:00"));
  EXPECT_NO_THROW(CheckFits(partitions_, "debug,long", 8, "1-00"));
  EXPECT_NO_THROW(CheckFits({}, "", 5, ""));  // a site without a default: Slurm says so
}

TEST_F(PartitionTest, WhatNeverFitsIsRefusedWithBothNumbers) {
  EXPECT_THAT(Refusal("", 17, ""), HasSubstr("--nodes=17: partition work has 16"));
  EXPECT_THAT(Refusal("debug", 3, ""), HasSubstr("--nodes=3: partition debug has 2"));
  EXPECT_THAT(Refusal("debug", 1, "60"), HasSubstr("--time=60: partition debug allows 30:00"));
}

TEST_F(PartitionTest, AnUnknownPartitionIsNamedWithTheNearest) {
  EXPECT_THAT(Refusal("debgu", 1, ""), HasSubstr("did you mean debug?"));
  EXPECT_THAT(Refusal("gpu", 1, ""), HasSubstr("it has work,debug,long"));
}

TEST(JobEnd, IsToldApartByWhatSlurmShows) {
  const auto shown = [](const std::string& state, const std::string& reason,
                        const std::string& restarts, const std::string& preempt) {
    return "JobId=3 JobName=r\n   JobState=" + state + " Reason=" + reason +
           " Dependency=(null)\n   Requeue=1 Restarts=" + restarts +
           " BatchFlag=1\n   PreemptEligibleTime=x PreemptTime=" + preempt + "\n";
  };
  EXPECT_EQ(ParseJobEnd(shown("RUNNING", "None", "0", "None"), 0), JobEnd::kRunning);
  EXPECT_EQ(ParseJobEnd(shown("COMPLETING", "None", "1", "None"), 1), JobEnd::kCancelled);
  EXPECT_EQ(ParseJobEnd(shown("COMPLETING", "None", "2", "None"), 1), JobEnd::kRequeued);
  EXPECT_EQ(ParseJobEnd(shown("COMPLETING", "TimeLimit", "0", "None"), 0), JobEnd::kTimeLimit);
  EXPECT_EQ(ParseJobEnd(shown("COMPLETING", "None", "0", "2026-01-01T00:00:00"), 0),
            JobEnd::kPreempted);
  EXPECT_EQ(ParseJobEnd("", 0), JobEnd::kRunning);
}

}  // namespace
}  // namespace moat::launch
