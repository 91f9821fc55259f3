// The batch script of a run: golden bytes, and what a shell does with it.
#include "launch/slurm_script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "core/durable_file.h"
#include "core/error.h"
#include "tests/launch/job.h"
#include "tests/support/errors.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

TEST(SlurmScript, GoldenScript) {
  EXPECT_EQ(
      SlurmScript(Job({"--on=slurm", "--nodes=2", "--ranks_per_node=4", "--tp=2", "--threads=8",
                       "--partition=gpu", "--account=team-a", "--time=04:00:00",
                       "--gpus_per_node=4", "--gpu_request=--gres=gpu:h100:GPUS",
                       "--sbatch=--constraint=ib", "--modules=gcc/12,openmpi/4.1", "--grace=110"})),
      R"golden(#!/bin/bash
# Run r of moat: 2 nodes, 4 ranks on each (dp 4 x tp 2).
# Written by moat launch, which submits it again where the run needs another leg.
#SBATCH --job-name=r
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:h100:4
#SBATCH --partition=gpu
#SBATCH --account=team-a
#SBATCH --time=04:00:00
#SBATCH --constraint=ib
#SBATCH --output=/home/ada/runs/r/launch/job-%j.out
# One file for all legs of a job.
#SBATCH --open-mode=append
# May be requeued, by this script and by the scheduler.
#SBATCH --requeue
# USR1 to this shell, so many seconds before the time limit: the run saves and ends.
#SBATCH --signal=B:USR1@120

cd -- /home/ada || exit 2
module load gcc/12 || exit 2
module load openmpi/4.1 || exit 2
set -u

run=/home/ada/runs/r
job=$SLURM_JOB_ID
again=(/home/ada/runs/r/launch/job.sbatch)

# In the background, since a shell acts on signals only while it waits.
/opt/moat/bin/moat launch --flagfile="$run/launch/job.flags" &
moat=$!
trap 'kill -USR1 "$moat"' USR1  # the time limit is near, or the scheduler wants the nodes
trap 'kill -INT "$moat"' INT    # scancel --batch --signal=INT: save and end for good
ended=                          # by Slurm, which knows whether the job comes back
trap 'ended=yes' TERM           # scancel, or a requeue by somebody else: moat hears it by itself
while kill -0 "$moat" 2>/dev/null; do wait "$moat"; done
wait "$moat"
code=$?

# What the exit codes of a run mean: docs/exit-codes.md.
case $code in
  75) # Saved, and there is more to do. A requeue ends this script, so it comes last.
    [ -n "$ended" ] || scontrol requeue "$job" || [ -n "$ended" ] ||
      env -u SLURM_RESTART_COUNT sbatch --dependency="afterany:$job" "${again[@]}"
    ;;
  69) # A node is unhealthy. A requeue could come back to it, so this is a new job.
    [ -n "$ended" ] || env -u SLURM_RESTART_COUNT sbatch --dependency="afterany:$job" \
      --exclude="$(cat "$run/launch/exclude")" "${again[@]}"
    ;;
esac
exit "$code"
)golden");
}

TaskArray Tasks() { return {"/home/ada/runs/s", {0, 1, 2, 5}, 6, 2}; }

TEST(SlurmScript, OfASweepDiffersFromThatOfARunInItsHeadOnly) {
  const auto job = Job({"--on=slurm", "--dp=2", "--threads=4", "--time=60"});
  const std::string script = SlurmScript(job, Tasks());
  const std::string of_run = SlurmScript(job);
  const std::string tail = of_run.substr(of_run.find("\n# In the background"));
  EXPECT_THAT(script, ::testing::EndsWith(tail));
  EXPECT_EQ(script.substr(0, script.size() - tail.size()), R"golden(#!/bin/bash
# Sweep s of moat: 4 of its 6 runs, each 1 node, 2 ranks on each.
# Written by moat sweep. A task has the number of its run in sweep.tsv, and submits
# itself again where the run needs another leg.
#SBATCH --job-name=s
#SBATCH --array=0-2,5%2
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=4
#SBATCH --time=60
#SBATCH --output=/home/ada/runs/s/launch/job-%A_%a.out
# One file for all legs of a job.
#SBATCH --open-mode=append
# May be requeued, by this script and by the scheduler.
#SBATCH --requeue
# USR1 to this shell, so many seconds before the time limit: the run saves and ends.
#SBATCH --signal=B:USR1@70

cd -- /home/ada || exit 2
set -u

sweep=/home/ada/runs/s
name=$(awk -F '\t' -v number="$SLURM_ARRAY_TASK_ID" '$1 == number { print $NF }' "$sweep/sweep.tsv")
[ -n "$name" ] || { echo "$sweep/sweep.tsv has no run $SLURM_ARRAY_TASK_ID" >&2; exit 2; }
run=$sweep/$name
job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID  # $SLURM_JOB_ID may mean the whole array
again=(--array="$SLURM_ARRAY_TASK_ID" /home/ada/runs/s/launch/job.sbatch)
)golden");
}

TEST(SlurmScript, RunsOfASweepMustBeOfOneSize) {
  const auto refusal = [](const std::vector<std::string>& other) {
    return testing::ErrorOf(core::ExitCode::kConfig, [&] {
      CheckOneSize(Job({"--on=slurm", "--dp=2", "--threads=1"}), Job(other));
    });
  };
  EXPECT_THAT(
      refusal({"--on=slurm", "--dp=4", "--threads=1"}),
      HasSubstr("asks for 1 node x 4 ranks x 1 thread, where the first asks for 1 node x 2 ranks"));
  EXPECT_THAT(refusal({"--on=slurm", "--dp=2", "--threads=8"}), HasSubstr("x 8 threads"));
  EXPECT_NO_THROW(CheckOneSize(Job({"--on=slurm", "--dp=2", "--threads=1", "--lr=1"}),
                               Job({"--on=slurm", "--tp=2", "--threads=1", "--dp=1"})));
}

TEST(SlurmScript, WhatIsNotAskedForIsNotInIt) {
  const std::string script = SlurmScript(Job({"--on=slurm"}));
  for (const char* option :
       {"--partition", "--account", "--time=", "--gpus", "--cpus-per-task", "module load"}) {
    EXPECT_THAT(script, ::testing::Not(HasSubstr(option)));
  }
  EXPECT_THAT(SlurmScript(Job({"--on=slurm", "--gpus_per_node=2"})),
              HasSubstr("#SBATCH --gpus-per-node=2\n"));
}

TEST(SlurmScript, AJobThatMayShrinkOutlivesItsNodes) {
  const std::vector<std::string> flags = {"--on=slurm", "--nodes=3"};
  EXPECT_THAT(SlurmScript(Job(flags)), ::testing::Not(HasSubstr("--no-kill")));
  EXPECT_THAT(SlurmScript(Job({"--on=slurm", "--nodes=3", "--min_nodes=2"})),
              HasSubstr("#SBATCH --no-kill\n"));
}

TEST(SlurmScript, RefusesAPathThatNoLineCanHold) {
  JobSpec job = Job({"--on=slurm"});
  job.directory = "/two\nlines";
  EXPECT_THAT(testing::ErrorOf(core::ExitCode::kConfig, [&] { SlurmScript(job); }),
              HasSubstr("line break"));
}

TEST(SlurmScript, ThePercentSignsOfADirectoryAreNoPattern) {
  JobSpec job = Job({"--on=slurm"});
  job.directory = "/100%j";
  EXPECT_THAT(SlurmScript(job), HasSubstr("--output=/100%%j/runs/r/launch/job-%j.out\n"));
}

TEST(SlurmFlags, SayWhatWasResolvedAndThatThisIsTheJob) {
  const std::string flags =
      SlurmFlags(Job({"--on=slurm", "--nodes=2", "--ranks_per_node=4", "--lr=0.5"}));
  EXPECT_THAT(flags, HasSubstr("--lr=0.5\n"));
  EXPECT_THAT(flags, HasSubstr("\n--on=allocation\n--dp=8\n--ranks_per_node=4\n"));
  const testing::TemporaryDirectory directory;
  core::WriteFileAtomically(directory / "job.flags", flags);
  const auto read = configs::LaunchConfigFromFlags(configs::CommandLine::Parse(
      "launch", std::vector<std::string>{"--flagfile=" + (directory / "job.flags").string()}));
  EXPECT_EQ(read.on, configs::LaunchOn::kAllocation);
  EXPECT_EQ(read.nodes, 2);
}

TEST(SbatchQuoted, QuotesWhatSbatchWouldCut) {
  EXPECT_EQ(SbatchQuoted("gpu"), "gpu");
  EXPECT_EQ(SbatchQuoted("$HOME"), "$HOME");  // #SBATCH lines know no variables
  EXPECT_EQ(SbatchQuoted("a b"), "\"a b\"");
  EXPECT_EQ(SbatchQuoted("a\"b\\c#"), "\"a\\\"b\\\\c#\"");
}

// The script in a directory with an awkward name, whose moat ends as it is told, and whose scontrol
// and sbatch only say what they were asked.
class ScriptTest : public ::testing::Test {
 protected:
  ScriptTest() : home_(directory_ / "it's \"my\" $HOME") {
    JobSpec job = Job({"--on=slurm"});
    job.directory = home_;
    job.program = home_ / "bin/moat-train";
    fs::create_directories(home_ / "bin");
    core::WriteFileAtomically(home_ / "job.sbatch", SlurmScript(job));
    for (const char* name : {"scontrol", "sbatch"}) {
      Program(name, "echo \"" + std::string(name) + " $*\"\n");
    }
  }
  void Program(const std::string& name, const std::string& body) {
    core::WriteFileAtomically(home_ / "bin" / name, "#!/bin/bash\n" + body, 0755);
  }
  std::string Said() const {
    const fs::path said = directory_ / "said";
    return fs::exists(said) ? core::ReadWholeFile(said) : "";
  }
  testing::Process Start() const {
    const std::string path = (home_ / "bin").string() + ":" + std::getenv("PATH");
    // As Slurm starts it: a shell cannot trap what it was started without.
    return {{"env", "--default-signal", "bash", (home_ / "job.sbatch").string()},
            (directory_ / "said").string(),
            {{"PATH", path},
             {"SLURM_JOB_ID", "7"},
             {"SLURM_ARRAY_JOB_ID", "7"},
             {"SLURM_ARRAY_TASK_ID", "5"}}};
  }
  // Its moat runs, and the shell has set its traps, TERM's last.
  bool Listens(const testing::Process& script) const {
    if (Said() != "ready\n") return false;
    std::ifstream status("/proc/" + std::to_string(script.pid()) + "/status");
    for (std::string name, value; status >> name >> value;) {
      if (name == "SigCgt:") return (std::stoull(value, nullptr, 16) >> (SIGTERM - 1) & 1) != 0;
      std::getline(status, value);
    }
    return false;
  }
  int Run(int code) {
    Program("moat", "exit " + std::to_string(code) + "\n");
    return testing::Process(Start()).Wait();
  }

  testing::TemporaryDirectory directory_;
  fs::path home_;
};

TEST_F(ScriptTest, EveryCodeIsHandedOnAndOnly75And69ComeBack) {
  for (const int code : {0, 2, 65, 70, 71, 74, 76, 78, 79, 93, 137}) {
    EXPECT_EQ(Run(code), code);
    EXPECT_EQ(Said(), "") << code;
  }
  EXPECT_EQ(Run(75), 75);
  EXPECT_EQ(Said(), "scontrol requeue 7\n");
}

TEST_F(ScriptTest, WhereARequeueIsRefusedANewJobFollows) {
  Program("scontrol", "exit 1\n");
  EXPECT_EQ(Run(75), 75);
  EXPECT_EQ(Said(),
            "sbatch --dependency=afterany:7 " + home_.string() + "/runs/r/launch/job.sbatch\n");
}

TEST_F(ScriptTest, ABadNodeIsLeftOutByANewJob) {
  core::MakeDirectories(home_ / "runs/r/launch");
  core::WriteFileAtomically(home_ / "runs/r/launch/exclude", "n2,n5");
  EXPECT_EQ(Run(69), 69);
  EXPECT_EQ(Said(), "sbatch --dependency=afterany:7 --exclude=n2,n5 " + home_.string() +
                        "/runs/r/launch/job.sbatch\n");
}

TEST_F(ScriptTest, WhereTooFewNodesAreLeftTheNewJobHasFewer) {
  JobSpec job = Job({"--on=slurm", "--nodes=4", "--min_nodes=2"});
  job.directory = home_;
  job.program = home_ / "bin/moat-train";
  core::WriteFileAtomically(home_ / "job.sbatch", SlurmScript(job));
  core::MakeDirectories(home_ / "runs/r/launch");
  core::WriteFileAtomically(home_ / "runs/r/launch/exclude", "n2");
  Program("sbatch", "[[ $* == *--nodes=4* ]] && exit 1; echo \"sbatch $*\"\n");
  EXPECT_EQ(Run(69), 69);
  EXPECT_EQ(Said(), "sbatch --dependency=afterany:7 --exclude=n2 --nodes=3 " + home_.string() +
                        "/runs/r/launch/job.sbatch\n");
}

// Task 5 of an array that has the array's own number, as the last one of each has.
class ArrayScriptTest : public ScriptTest {
 protected:
  ArrayScriptTest() : sweep_(home_ / "runs/s") {
    JobSpec job = Job({"--on=slurm"});
    job.directory = home_;
    job.program = home_ / "bin/moat-train";
    TaskArray tasks = Tasks();
    tasks.directory = sweep_;
    core::WriteFileAtomically(home_ / "job.sbatch", SlurmScript(job, tasks));
    core::MakeDirectories(sweep_);
    core::WriteFileAtomically(sweep_ / "sweep.tsv",
                              "number\tcell\tlr\tseed\trun\n"
                              "4\t1\t0.1\t5\tcell-001-seed-5\n"
                              "5\t2\t0.5\t5\tcell-002-seed-5\n"
                              "15\t5\t0.5\t5\tcell-005-seed-5\n");
  }
  const fs::path sweep_;
};

TEST_F(ArrayScriptTest, TheTaskRunsTheRunOfItsNumber) {
  Program("moat", "echo \"$*\"\n");
  EXPECT_EQ(testing::Process(Start()).Wait(), 0);
  EXPECT_EQ(Said(),
            "launch --flagfile=" + (sweep_ / "cell-002-seed-5/launch/job.flags").string() + "\n");
}

TEST_F(ArrayScriptTest, ANumberThatIsNotInThePlanRunsNothing) {
  core::WriteFileAtomically(sweep_ / "sweep.tsv", "number\tcell\tseed\trun\n");
  EXPECT_EQ(Run(0), 2);
  EXPECT_THAT(Said(), HasSubstr("sweep.tsv has no run 5"));
}

TEST_F(ArrayScriptTest, OnlyTheTaskIsRequeued) {
  EXPECT_EQ(Run(75), 75);
  EXPECT_EQ(Said(), "scontrol requeue 7_5\n");
}

TEST_F(ArrayScriptTest, OnlyTheTaskIsSubmittedAgain) {
  const std::string again = "--array=5 " + (sweep_ / "launch/job.sbatch").string() + "\n";
  core::MakeDirectories(sweep_ / "cell-002-seed-5/launch");
  core::WriteFileAtomically(sweep_ / "cell-002-seed-5/launch/exclude", "n2,n5");
  EXPECT_EQ(Run(69), 69);
  EXPECT_EQ(Said(), "sbatch --dependency=afterany:7_5 --exclude=n2,n5 " + again);
  fs::remove(directory_ / "said");
  Program("scontrol", "exit 1\n");
  EXPECT_EQ(Run(75), 75);
  EXPECT_EQ(Said(), "sbatch --dependency=afterany:7_5 " + again);
}

TEST_F(ScriptTest, SignalsReachMoatAndItsCodeComesBack) {
  const std::pair<int, std::string> cases[] = {{SIGUSR1, "USR1"}, {SIGINT, "INT"}};
  for (const auto& [number, name] : cases) {
    // A shell cannot trap what it was started without, as programs in the background are INT.
    Program("moat", "exec env --default-signal=INT bash -c \"trap 'exit 75' " + name +
                        "; echo ready; while :; do sleep 0.01; done\"\n");
    testing::Process script = Start();
    ASSERT_TRUE(testing::Eventually(30, [&] { return Listens(script); }));
    script.Signal(number);
    EXPECT_EQ(script.Wait(), 75);
    EXPECT_EQ(Said(), "ready\nscontrol requeue 7\n");
  }
}

TEST_F(ScriptTest, AJobThatSlurmEndsIsLeftToIt) {
  Program("moat", "echo ready\nwhile [ ! -e end ]; do sleep 0.01; done\nexit 75\n");
  testing::Process script = Start();
  ASSERT_TRUE(testing::Eventually(30, [&] { return Listens(script); }));
  script.Signal(SIGTERM);
  core::WriteFileAtomically(home_ / "end", "");
  EXPECT_EQ(script.Wait(), 75);
  EXPECT_EQ(Said(), "ready\n");
}

}  // namespace
}  // namespace moat::launch
