// What a job becomes: golden argv and environment, and words a shell takes.
#include "launch/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>

#include "core/error.h"

namespace moat::launch {
namespace {

JobSpec Job(const std::vector<std::string>& more) {
  std::vector<std::string> words = {"--run=r", "--data=d"};
  words.insert(words.end(), more.begin(), more.end());
  JobSpec job;
  job.flags = configs::CommandLine::Parse("launch", words);
  job.config = configs::LaunchConfigFromFlags(job.flags);
  job.program = "/opt/moat/bin/moat-train";
  job.cores = 8;
  job.attempt = 3;
  return job;
}

TEST(Render, GoldenPlan) {
  EXPECT_EQ(ToText(Render(Job({"--dp=2", "--run_root=/my runs"}))),
            "MOAT_ATTEMPT=3 MOAT_RUN_DIR='/my runs/r' MOAT_SUPERVISED=1 "
            "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
            "OMPI_MCA_odls_base_sigkill_timeout=0 OMP_NUM_THREADS=4 "
            "mpirun -np 2 --oversubscribe --bind-to none -x OMP_NUM_THREADS -x MOAT_ATTEMPT "
            "-x MOAT_RUN_DIR -x MOAT_SUPERVISED /opt/moat/bin/moat-train "
            "'--flagfile=/my runs/r/run.flags'\n");
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
