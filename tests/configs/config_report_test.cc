// Where values come from, and how two configurations differ.
#include "configs/config_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/durable_file.h"
#include "core/error.h"
#include "tests/support/temporary_directory.h"

namespace moat::configs {
namespace {

using ::testing::HasSubstr;

class ConfigReportTest : public ::testing::Test {
 protected:
  ConfigReportTest() {
    core::WriteFileAtomically(base_, "# shared\n--lr=0.1\n--loss_roles=user\n");
    core::WriteFileAtomically(file_, "--flagfile=" + base_ + "\n\n--lr=0.2\n--layers=3\n");
    core::MakeDirectories(directory_ / "mine");
    core::WriteFileAtomically(directory_ / "mine" / "run.flags", "--lr=0.3\n--run=mine\n");
  }
  CommandLine Of(const std::vector<std::string>& words) {
    return ConfigOf(words, directory_.path());
  }
  std::string WhyRefused(const std::vector<std::string>& words, const std::string& flag) {
    try {
      ExplainText(Of(words), flag);
    } catch (const core::ConfigError& error) {
      return error.what();
    }
    return "";
  }

  testing::TemporaryDirectory directory_;
  const std::string base_ = directory_ / "base.flags";
  const std::string file_ = directory_ / "mine.flags";
};

TEST_F(ConfigReportTest, ExplainsTheValueItsPlaceAndWhatItOverrode) {
  EXPECT_EQ(ExplainText(Of({file_, "--lr=0.4"}), "lr"),
            "--lr=0.4\n"
            "  set by      command line: 0.4\n"
            "  instead of  " +
                file_ +
                ":3: 0.2\n"
                "  instead of  " +
                base_ +
                ":2: 0.1\n"
                "  instead of  default: 3e-04\n");
  EXPECT_EQ(ExplainText(Of({file_}), "--seed"), "--seed=1\n  set by      default: 1\n");
}

TEST_F(ConfigReportTest, ExplainsListsItemByItem) {
  const std::string text =
      ExplainText(Of({file_, "--loss_roles=tool", "--loss_roles=text"}), "loss_roles");
  EXPECT_THAT(text,
              HasSubstr("set by      command line: tool\n  set by      command line: text\n"));
  EXPECT_THAT(text, HasSubstr("instead of  " + base_ + ":3: user\n"));
}

TEST_F(ConfigReportTest, ExplainsInJson) {
  const std::string json = ExplainJson(Of({file_}), "lr");
  EXPECT_THAT(json, HasSubstr("\"value\": \"0.2\""));
  EXPECT_THAT(json, HasSubstr("\"origin\": \"" + file_ + ":3\""));
  EXPECT_THAT(json, HasSubstr("\"origin\": \"" + base_ + ":2\""));
}

TEST_F(ConfigReportTest, AWordIsAFileOrARunOrAFlag) {
  EXPECT_EQ(Of({"mine"}).value("lr"), "0.3");
  EXPECT_EQ(Of({directory_ / "mine"}).value("lr"), "0.3");
  EXPECT_EQ(Of({file_, "mine", "--lr=0.5"}).value("lr"), "0.5");
  EXPECT_THAT(WhyRefused({"nowhere"}, "lr"), HasSubstr("there is no run nowhere in"));
}

TEST_F(ConfigReportTest, AMistypedFlagfileOrRunIsAnsweredWithTheNearest) {
  EXPECT_THAT(WhyRefused({directory_ / "bass.flags"}, "lr"),
              HasSubstr("did you mean " + base_ + "?"));
  core::MakeDirectories(directory_ / "quickstart");
  EXPECT_THAT(WhyRefused({"quikstart"}, "lr"), HasSubstr("did you mean quickstart?"));
}

TEST_F(ConfigReportTest, AnUnknownFlagIsAnsweredWithTheNearest) {
  EXPECT_THAT(WhyRefused({file_}, "layer"), HasSubstr("did you mean layers?"));
}

TEST_F(ConfigReportTest, ListsWhatDiffersWithBothPlaces) {
  const auto differences = Differences(Of({file_}), Of({"mine"}));
  std::vector<std::string> flags;
  for (const FlagDifference& one : differences) flags.push_back(one.flag);
  EXPECT_EQ(flags, (std::vector<std::string>{"run", "layers", "loss_roles", "lr"}));
  EXPECT_THAT(ToText(differences),
              HasSubstr("--lr\n  < 0.2  # " + file_ + ":3\n  > 0.3  # " +
                        (directory_ / "mine" / "run.flags").string() + ":1\n"));
  EXPECT_THAT(ToJson(differences), HasSubstr("\"flag\": \"lr\""));
  EXPECT_TRUE(Differences(Of({file_}), Of({file_})).empty());
  EXPECT_EQ(ToJson({}), "[]\n");
}

}  // namespace
}  // namespace moat::configs
