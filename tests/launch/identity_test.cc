// What makes a run the same run.
#include "launch/identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/durable_file.h"
#include "core/error.h"
#include "rundir/metrics.h"
#include "tests/support/temporary_directory.h"

namespace moat::launch {
namespace {

class IdentityTest : public ::testing::Test {
 protected:
  static configs::CommandLine Line(const std::vector<std::string>& more) {
    std::vector<std::string> words = {"--run=r", "--data=d"};
    words.insert(words.end(), more.begin(), more.end());
    return configs::CommandLine::Parse("launch", words);
  }
  std::vector<std::string> Check(const std::vector<std::string>& before,
                                 const std::vector<std::string>& now) {
    core::WriteFileAtomically(run_.flags(), Line(before).ResolvedFlags("train"));
    return CheckSameRun(run_, Line(now));
  }
  testing::TemporaryDirectory directory_;
  rundir::RunLayout run_{directory_.path()};
};

TEST_F(IdentityTest, ANewRunIsItsOwn) {
  EXPECT_TRUE(CheckSameRun({directory_ / "absent"}, Line({})).empty());
}

TEST_F(IdentityTest, HowLongHowOftenAndWhereMayChange) {
  EXPECT_TRUE(Check({}, {"--steps=9", "--eval_every=1", "--threads=7", "--dp=2", "--resume=never",
                         "--checkpoint_every=3"})
                  .empty());
}

TEST_F(IdentityTest, WhatItIsMayNotAndEveryDifferenceIsShown) {
  try {
    Check({"--seed=1", "--lr=0.001"}, {"--seed=2", "--lr=0.002", "--data=e"});
    FAIL();
  } catch (const core::ConfigError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("--seed was 1, now 2"));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("--lr was 0.001, now 0.002"));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("--data was d, now d,e"));
  }
}

TEST_F(IdentityTest, DataSetsAndTheirWeightsMayNotChange) {
  const std::vector<std::string> before = {"--data=e", "--data_weights=1,2"};
  EXPECT_TRUE(Check(before, {"--data=./e", "--data_weights=1", "--data_weights=2"}).empty());
  EXPECT_THROW(Check(before, {"--data=e", "--data_weights=2,1"}), core::ConfigError);
  EXPECT_THROW(Check(before, {"--data=e"}), core::ConfigError);
  EXPECT_THROW(Check({}, {"--data=e"}), core::ConfigError);
  EXPECT_THROW(Check({"--data=e"}, {}), core::ConfigError);
}

TEST_F(IdentityTest, TheTypeOfProductsMayNotChange) {
  const std::vector<std::string> fp8 = {"--dtype=bf16", "--matmul_dtype=fp8"};
  EXPECT_TRUE(Check(fp8, fp8).empty());
  EXPECT_THROW(Check(fp8, {"--dtype=bf16"}), core::ConfigError);
  EXPECT_THROW(Check({"--dtype=bf16"}, fp8), core::ConfigError);
}

TEST_F(IdentityTest, AnotherOrderOfSumsIsNotedOnceTheRunHasDoneAStep) {
  const auto noted = [&] { return Check({"--micro_batch=2"}, {"--micro_batch=4"}); };
  EXPECT_TRUE(noted().empty()) << "there is no chain yet that could end";
  rundir::StepLine line;
  line.step = 1;
  rundir::MetricsWriter(run_.metrics()).Append(line);
  EXPECT_THAT(noted(), ::testing::ElementsAre(
                           "the chain of equal bits ends here: --micro_batch was 2, now 4"));
}

TEST_F(IdentityTest, AMistypedDataSetIsAnsweredWithTheNearest) {
  core::MakeDirectories(directory_ / "quickstart");
  const auto refused = [&](const std::string& name) -> std::string {
    try {
      CheckData({directory_ / name});
    } catch (const core::ConfigError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(refused("quikstart"),
              ::testing::HasSubstr("did you mean " + (directory_ / "quickstart").string() + "?"));
  EXPECT_THAT(refused("quickstart"), ::testing::HasSubstr("moat data import makes a data set"));
}

std::string StartErrorOf(const std::filesystem::path& checkpoints, const std::string& resume,
                         int64_t steps) {
  configs::TrainConfig config;
  config.resume = resume;
  config.steps = steps;
  try {
    CheckStart(checkpoints, config);
  } catch (const core::ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST_F(IdentityTest, AStartThatCannotBeIsRefusedBeforeAnyRankIsStarted) {
  const std::filesystem::path root = directory_ / "ckpt";
  EXPECT_EQ(StartErrorOf(root, "auto", 100), "");
  EXPECT_EQ(StartErrorOf(root, "never", 100), "");
  EXPECT_THAT(StartErrorOf(root, "40", 100), ::testing::HasSubstr("it has none"));
  for (const char* name : {"step-00000050", "step-00000066"}) {
    core::MakeDirectories(root / name);
    core::WriteFileAtomically(root / name / "manifest.json", "{}");
  }
  EXPECT_EQ(StartErrorOf(root, "auto", 100), "");
  EXPECT_EQ(StartErrorOf(root, "50", 60), "");
  EXPECT_EQ(StartErrorOf(root, "auto", 66), "");
  EXPECT_THAT(StartErrorOf(root, "never", 100), ::testing::HasSubstr("steps 66, 50"));
  EXPECT_THAT(StartErrorOf(root, "40", 100), ::testing::HasSubstr("no such checkpoint"));
  EXPECT_THAT(StartErrorOf(root, "40", 100), ::testing::HasSubstr("it has steps 66, 50"));
  EXPECT_THAT(StartErrorOf(root, "auto", 20), ::testing::HasSubstr("has done 66 already"));
}

TEST_F(IdentityTest, TheVocabularyStandsInTheIndexOfTheData) {
  const std::string data = directory_.path().string();
  EXPECT_EQ(VocabularyOf({}), std::nullopt);
  EXPECT_EQ(VocabularyOf({data}), std::nullopt);
  core::WriteFileAtomically(directory_ / "index.json", R"({"vocab_size": 321})");
  EXPECT_EQ(VocabularyOf({data}), 321);
  for (const char* broken : {"{}", "{", R"({"vocab_size": "x"})"}) {
    core::WriteFileAtomically(directory_ / "index.json", broken);
    EXPECT_THROW(VocabularyOf({data}), core::DataError) << broken;
  }
}

}  // namespace
}  // namespace moat::launch
