// The plan of a sweep: product, numbers, sweep.tsv, refusals.
#include "launch/sweep_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "launch/sweep.h"
#include "tests/support/errors.h"

namespace moat::launch {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

SweepPlan TwoByTwo() {
  return PlanSweep({ParseVariation("lr=1e-4,3e-4"), ParseVariation("width=32,64")}, 2, 7);
}

TEST(SweepPlan, CellsAreTheProductInOrderAndEveryCellHasTheSameSeeds) {
  const SweepPlan plan = TwoByTwo();
  ASSERT_EQ(plan.runs.size(), 8u);
  std::vector<std::string> cells;
  for (size_t i = 0; i < plan.runs.size(); ++i) {
    EXPECT_EQ(plan.runs[i].number, static_cast<int>(i));
    EXPECT_EQ(plan.runs[i].cell, static_cast<int>(i / 2));
    EXPECT_EQ(plan.runs[i].seed, 7 + i % 2);
    if (i % 2 == 0) cells.push_back(CellText(plan, plan.runs[i]));
  }
  EXPECT_THAT(cells, ElementsAre("lr=1e-04 width=32", "lr=1e-04 width=64", "lr=3e-04 width=32",
                                 "lr=3e-04 width=64"));
  EXPECT_EQ(plan.runs[5].run, "cell-002-seed-8");
}

TEST(SweepPlan, WithoutVariationsIsOneCellOfSeeds) {
  EXPECT_EQ(PlanSweep({}, 3, 0).runs.size(), 3u);
}

TEST(SweepPlan, ComesBackFromItsFile) {
  const SweepPlan plan = TwoByTwo();
  const std::string text = ToTsv(plan);
  EXPECT_THAT(text, StartsWith("number\tcell\tlr\twidth\tseed\trun\n"
                               "0\t0\t1e-04\t32\t7\tcell-000-seed-7\n"));
  EXPECT_EQ(SweepFromTsv(text, "sweep.tsv"), plan);
}

TEST(SweepPlan, ARunIsFoundByItsName) {
  const std::string text = ToTsv(TwoByTwo());
  EXPECT_EQ(NumberOf(text, "cell-000-seed-7"), 0);
  EXPECT_EQ(NumberOf(text, "cell-003-seed-8"), 7);
  EXPECT_EQ(NumberOf(text, "seed-8"), std::nullopt);
  EXPECT_EQ(NumberOf(text, "run"), std::nullopt);  // its head
}

TEST(SweepPlan, AFileThatWasCutOrEditedIsRefusedWithItsLine) {
  const std::string text = ToTsv(TwoByTwo());
  const auto refusal = [](const std::string& damaged) {
    return testing::ErrorOf(core::ExitCode::kData,
                            [&] { SweepFromTsv(damaged, "runs/x/sweep.tsv"); });
  };
  EXPECT_THAT(refusal(""), HasSubstr("runs/x/sweep.tsv"));
  EXPECT_THAT(refusal(text.substr(0, text.size() - 20)), HasSubstr("runs/x/sweep.tsv:9"));
  EXPECT_THAT(refusal(text.substr(0, text.size() - 1)), HasSubstr("cut or edited"));
  std::string swapped = text;
  swapped.replace(swapped.find("\n1\t"), 3, "\n2\t");
  EXPECT_THAT(refusal(swapped), HasSubstr("runs/x/sweep.tsv:3"));
}

TEST(SweepPlan, WhatCannotBeVariedIsRefused) {
  const auto refusal = [](const std::string& text) {
    return testing::ErrorOf(core::ExitCode::kConfig, [&] { ParseVariation(text); });
  };
  EXPECT_THAT(refusal("widht=1"), HasSubstr("did you mean --width"));
  EXPECT_THAT(refusal("seed=1,2"), HasSubstr("set by the sweep itself"));
  EXPECT_THAT(refusal("restarts=1,2"), HasSubstr("no flag of training"));
  EXPECT_THAT(refusal("lr"), HasSubstr("expected FLAG=VALUE"));
  EXPECT_THAT(refusal("lr=1,,2"), HasSubstr("empty value"));
  EXPECT_THAT(refusal("lr=0.1,1e-1"), HasSubstr("twice"));
  EXPECT_THAT(refusal("layers=two"), HasSubstr("two"));
  const auto rates = ParseVariation("lr=1,2");
  EXPECT_THAT(testing::ErrorOf(core::ExitCode::kConfig,
                               [&] {
                                 PlanSweep({rates, rates}, 1, 0);
                               }),
              HasSubstr("varied twice"));
  EXPECT_THAT(testing::ErrorOf(core::ExitCode::kConfig, [&] { PlanSweep({rates}, 0, 0); }),
              HasSubstr("--seeds=0"));
}

TEST(SweepPlan, ACellThatDoesNotValidateIsNamed) {
  const auto line = configs::CommandLine::Parse(
      "sweep", {"--run=x", "--data=d", "--width=32", "--vary=heads=4,5", "--vary=lr=1,2"});
  EXPECT_THAT(testing::ErrorOf(core::ExitCode::kConfig, [&] { PlanOf(line); }),
              HasSubstr("cell 2 (heads=5 lr=1)"));
}

TEST(SweepPlan, ARunHasTheFlagsOfTheSweepAndItsOwn) {
  const auto line = configs::CommandLine::Parse(
      "sweep", {"--run=x", "--data=d", "--seed=3", "--lr=5", "--steps=9", "--vary=lr=1,2"});
  const SweepPlan plan = PlanOf(line);
  const auto flags = FlagsOfRun(line, plan, plan.runs[1], "runs/x");
  EXPECT_THAT(flags, Contains("--lr=2"));
  EXPECT_THAT(flags, Not(Contains("--lr=5")));
  EXPECT_THAT(flags, Contains("--steps=9"));
  EXPECT_THAT(flags, Contains("--seed=3"));
  EXPECT_THAT(flags, Contains("--run_root=runs/x"));
  EXPECT_THAT(flags, Contains("--run=cell-001-seed-3"));
}

TEST(SweepPlan, WhatIsOfTheSubmissionIsNoRuns) {
  const auto line = configs::CommandLine::Parse(
      "sweep", {"--run=x", "--data=d", "--on=slurm", "--partition=gpu", "--wait", "--parsable"});
  const SweepPlan plan = PlanOf(line);
  const auto flags = FlagsOfRun(line, plan, plan.runs[0], "runs/x");
  EXPECT_THAT(flags, Contains("--on=slurm"));
  EXPECT_THAT(flags, Contains("--partition=gpu"));
  EXPECT_THAT(flags, Not(Contains(StartsWith("--wait"))));
  EXPECT_THAT(flags, Not(Contains(StartsWith("--parsable"))));
}

TEST(SweepPlan, WhereASweepCannotRunIsRefused) {
  const auto refusal = [](const std::vector<std::string>& more) {
    std::vector<std::string> words = {"--run=x", "--data=d"};
    words.insert(words.end(), more.begin(), more.end());
    return testing::ErrorOf(core::ExitCode::kConfig,
                            [&] { PlanOf(configs::CommandLine::Parse("sweep", words)); });
  };
  EXPECT_THAT(refusal({"--on=allocation"}), HasSubstr("expected local or slurm"));
  EXPECT_THAT(refusal({"--on=slrum"}), HasSubstr("expected local or slurm"));
  EXPECT_THAT(refusal({"--parsable"}), HasSubstr("goes with --on=slurm"));
  EXPECT_THAT(refusal({"--preflight"}), HasSubstr("measure each other"));
  EXPECT_THAT(refusal({"--on=slurm", "--time=soon"}), HasSubstr("--time=soon: expected minutes"));
}

TEST(SweepPlan, DifferencesAreTheLinesThatOneSideLacks) {
  EXPECT_EQ(LineDifferences("a\nb\n", "a\nb\n"), "");
  EXPECT_EQ(LineDifferences("a\nb\n", "a\nc\n"), "\n- b\n+ c");
}

TEST(Sweep, RunsSideBySideAsTheCoresAllow) {
  EXPECT_EQ(SideBySide(16, 2, 2), 4);
  EXPECT_EQ(SideBySide(2, 4, 1), 1);
  EXPECT_EQ(SideBySide(16, 2, 0), 1);  // such a run takes all cores
}

}  // namespace
}  // namespace moat::launch
