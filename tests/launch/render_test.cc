// What a job becomes: golden argv and environment, and words a shell takes.
#include "launch/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <signal.h>

#include <array>
#include <cstdio>

#include "core/error.h"
#include "tests/launch/job.h"

namespace moat::launch {
namespace {

TEST(Render, GoldenPlan) {
  EXPECT_EQ(ToText(Render(Job({"--dp=2", "--run_root=/my runs"}))),
            "MOAT_ATTEMPT=3 MOAT_RUN_DIR='/my runs/r' MOAT_SUPERVISED=1 "
            "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
            "OMPI_MCA_odls_base_sigkill_timeout=0 OMP_NUM_THREADS=4 "
            "mpirun -np 2 --oversubscribe --bind-to none -x OMP_NUM_THREADS -x MOAT_ATTEMPT "
            "-x MOAT_RUN_DIR -x MOAT_SUPERVISED /opt/moat/bin/moat-train "
            "'--flagfile=/my runs/r/run.flags'\n");
}

TEST(Render, HowThreadsWaitReachesRanksOfAllHostsAndIsTheUsersToChoose) {
  JobSpec job = Job({"--dp=2"});
  job.waits = {{"GOMP_SPINCOUNT", "7"}};
  const LaunchPlan ours = Render(job);
  EXPECT_EQ(ours.env.at("GOMP_SPINCOUNT"), "7");
  EXPECT_THAT(ours.argv, ::testing::Contains("GOMP_SPINCOUNT").Times(1));

  JobSpec chosen = Job({"--dp=2", "--env=GOMP_SPINCOUNT=9"});
  chosen.waits = job.waits;
  const LaunchPlan theirs = Render(chosen);
  EXPECT_EQ(theirs.env.at("GOMP_SPINCOUNT"), "9");
  EXPECT_THAT(theirs.argv, ::testing::Contains("GOMP_SPINCOUNT").Times(1));
}

TEST(Render, WithoutDpThereIsOneRankAndItSaysSo) {
  const LaunchPlan plan = Render(Job({}));
  EXPECT_EQ(plan.ranks, 1);
  EXPECT_EQ(plan.threads, 8);
  EXPECT_THAT(plan.notes, ::testing::ElementsAre("one rank; --dp=N starts N"));
}

TEST(Render, ThreadsAreSharedOutAndSharingACoreIsSaid) {
  EXPECT_EQ(Render(Job({"--dp=4"})).threads, 2);
  EXPECT_EQ(Render(Job({"--dp=2", "--threads=3"})).env.at("OMP_NUM_THREADS"), "3");
  EXPECT_THAT(Render(Job({"--dp=8", "--threads=2"})).notes,
              ::testing::ElementsAre("8 ranks x 2 threads share 8 cores"));
}

TEST(Render, RefusesSizesThatDoNotFit) {
  EXPECT_THROW(Render(Job({"--global_batch=12", "--micro_batch=1", "--dp=3"})), core::ConfigError);
  EXPECT_THROW(Render(Job({"--run=../up"})), core::ConfigError);
}

TEST(Render, InAJobMpirunPutsRanksOnNodesInBlocksAndDoesNotHearTerm) {
  const LaunchPlan plan = Render(Job({"--on=allocation", "--nodes=2", "--ranks_per_node=4",
                                      "--starter=mpirun", "--bind=numa", "--env=NCCL_DEBUG=INFO"}));
  EXPECT_THAT(plan.argv,
              ::testing::ElementsAre("mpirun", "-np", "8", "--oversubscribe", "--map-by",
                                     "ppr:4:node", "--bind-to", "numa", "-x", "OMP_NUM_THREADS",
                                     "-x", "MOAT_ATTEMPT", "-x", "MOAT_RUN_DIR", "-x",
                                     "MOAT_SUPERVISED", "-x", "MOAT_NODE_WATCH", "-x", "NCCL_DEBUG",
                                     "/opt/moat/bin/moat-train", "--flagfile=runs/r/run.flags"));
  EXPECT_THAT(plan.blocked, ::testing::ElementsAre(SIGTERM));
  EXPECT_EQ(plan.env.at("NCCL_DEBUG"), "INFO");
  EXPECT_EQ(plan.threads, 2);
}

TEST(Render, InAJobThatLostNodesRanksArePutOnTheOthers) {
  JobSpec job = Job({"--on=allocation", "--nodes=2", "--starter=mpirun"});
  job.hosts = {"n1", "n3"};
  EXPECT_THAT(ToText(Render(job)), ::testing::HasSubstr(" --host n1,n3 "));
  job.config.starter = configs::Starter::kSrun;
  EXPECT_THAT(ToText(Render(job)), ::testing::HasSubstr(" --nodelist=n1,n3 "));
}

TEST(Render, SrunStartsTheSameRanks) {
  const LaunchPlan plan = Render(Job({"--on=allocation", "--nodes=2", "--ranks_per_node=2",
                                      "--starter=srun", "--bind=core", "--threads=3"}));
  EXPECT_THAT(plan.argv, ::testing::ElementsAre(
                             "srun", "--mpi=pmix", "--nodes=2", "--ntasks=4", "--ntasks-per-node=2",
                             "--cpus-per-task=3", "--distribution=block", "--overcommit",
                             "--kill-on-bad-exit=1", "--cpu-bind=cores", "/opt/moat/bin/moat-train",
                             "--flagfile=runs/r/run.flags"));
}

TEST(Render, AContainerSeesTheRunItsDataAndNothingElse) {
  const LaunchPlan plan = Render(Job(
      {"--container=/images/moat-1.2.sif", "--run_root=/big/runs", "--container_options=--nv"}));
  const std::vector<std::string> tail(plan.argv.end() - 14, plan.argv.end());
  EXPECT_THAT(tail, ::testing::ElementsAre("apptainer", "exec", "--pwd", "/home/ada", "--bind",
                                           "/home/ada", "--bind", "/big/runs/r", "--bind",
                                           "/home/ada/d", "--nv", "/images/moat-1.2.sif",
                                           "moat-train", "--flagfile=/big/runs/r/run.flags"));
}

TEST(Render, OverAHostfileTheHostsShareTheRanks) {
  const std::string text =
      ToText(Render(Job({"--hostfile=my hosts", "--nodes=2", "--dp=4", "--threads=1"})));
  EXPECT_THAT(text, ::testing::HasSubstr("-np 4 --oversubscribe --hostfile 'my hosts' --map-by "
                                         "ppr:2:node --bind-to none"));
}

std::string SaidByAShell(const std::string& word) {
  FILE* pipe = popen(("printf %s " + ShellQuoted(word)).c_str(), "r");
  std::array<char, 256> text{};
  const size_t n = fread(text.data(), 1, text.size(), pipe);
  pclose(pipe);
  return {text.data(), n};
}

TEST(ShellQuoted, AShellReadsTheWordBack) {
  EXPECT_EQ(ShellQuoted("plain/path-1.0"), "plain/path-1.0");
  for (const std::string word : {"", "two words", "it's", "\"$HOME\" `id` $(id)", "a\\b", "*?[a]",
                                 "a;b|c&d", "line\nbreak", "~", "#x", "!x", "{a,b}", "\xc3\xa9"}) {
    EXPECT_EQ(SaidByAShell(word), word);
  }
}

}  // namespace
}  // namespace moat::launch
