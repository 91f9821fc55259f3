// Flagfiles: places, nesting, and every mistake as FILE:LINE.
#include "configs/flagfile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "configs/command_line.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "tests/support/temporary_directory.h"

namespace moat::configs {
namespace {

class FlagfileTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    std::string path = directory_ / name;
    core::WriteFileAtomically(path, text);
    return path;
  }
  std::string ErrorOf(const std::string& text) {
    try {
      const auto line = CommandLine::Parse("train", {"--flagfile=" + Write("a.flags", text)});
      TrainConfigFromFlags(line, Completeness::kAnyRun);
    } catch (const core::ConfigError& error) {
      return error.what();
    }
    return "no error";
  }
  testing::TemporaryDirectory directory_;
};

TEST_F(FlagfileTest, CommentsBlanksAndLineEndsAreLeftOut) {
  const std::string file = Write("a.flags", "# note\n\n  --layers=2  \r\n--data=a b\n\t# note\n");
  const auto line = CommandLine::Parse("train", {"--flagfile=" + file});
  EXPECT_EQ(line.Int("layers"), 2);
  EXPECT_EQ(line.value("data"), "a b");
  EXPECT_EQ(line.origin("layers"), file + ":3");
}

TEST_F(FlagfileTest, LastWinsInTheOrderOfReading) {
  const std::string file = Write("a.flags", "--layers=2\n--width=64\n");
  const auto line =
      CommandLine::Parse("train", {"--layers=9", "--width=9", "--flagfile=" + file, "--width=32"});
  EXPECT_EQ(line.Int("layers"), 2);
  EXPECT_EQ(line.Int("width"), 32);
  EXPECT_EQ(line.origin("width"), "command line");
}

TEST_F(FlagfileTest, ALaterSourceReplacesAList) {
  const std::string file = Write("a.flags", "--loss_roles=user\n--loss_roles=tool\n");
  const auto in_file = CommandLine::Parse("train", {"--flagfile=" + file});
  EXPECT_EQ(in_file.value("loss_roles"), "user,tool");
  const auto replaced = CommandLine::Parse("train", {"--flagfile=" + file, "--loss_roles=all"});
  EXPECT_EQ(replaced.value("loss_roles"), "all");
}

TEST_F(FlagfileTest, NestedFilesKeepTheirOwnPlaces) {
  const std::string inner = Write("inner.flags", "--width=64\n");
  const std::string outer = Write("outer.flags", "--layers=2\n--flagfile=" + inner + "\n");
  const auto line = CommandLine::Parse("train", {"--flagfile=" + outer});
  EXPECT_EQ(line.origin("width"), inner + ":1");
  EXPECT_EQ(line.origin("layers"), outer + ":1");
}

TEST_F(FlagfileTest, TheSameFileTwiceIsNoCircle) {
  const std::string inner = Write("inner.flags", "--width=64\n");
  const std::string outer =
      Write("outer.flags", "--flagfile=" + inner + "\n--flagfile=" + inner + "\n");
  EXPECT_EQ(CommandLine::Parse("train", {"--flagfile=" + outer}).Int("width"), 64);
}

TEST_F(FlagfileTest, ACircleIsNamedWhereItCloses) {
  const std::string first = (directory_ / "first.flags").string();
  const std::string second = Write("second.flags", "\n--flagfile=" + first + "\n");
  Write("first.flags", "--flagfile=" + second + "\n");
  try {
    CommandLine::Parse("train", {"--flagfile=" + first});
    FAIL();
  } catch (const core::ConfigError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr(second + ":2: "));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("circle"));
  }
}

TEST_F(FlagfileTest, EveryMistakeIsReportedWithFileAndLine) {
  const std::pair<std::string, std::string> mistakes[] = {
      {"--layers=2\nlr=1\n", ":2: expected --name=value"},
      {"--layer=2\n", ":1: unknown flag --layer; did you mean --layers?"},
      {"\n\n--lr\n", ":3: --lr needs a value"},
      {"--tp 8\n", ":1: write --tp=8"},
      {"--lr=1 # note\n", ":1: a comment stands on a line of its own"},
      {"--lr=x\n", ":1: --lr=x: expected a number"},
      {"--prompt=x\n", ":1: --prompt belongs to moat generate"},
      {"--fromenv=lr\n", ":1: --fromenv is not offered"},
      {"--flagfile=/nowhere/x\n", ":1: --flagfile=/nowhere/x: cannot open"},
      {"--width=100\n--heads=3\n", "--heads is set at "},
      {"--lr=nan\n", "--lr is set at "},
      {"--flagfile=" MOAT_SOURCE_DIR "/configs/gpt2_124m.flags\n--heads=7\n", "--heads is set at "},
      {"--flagfile=" MOAT_SOURCE_DIR "/configs/llama_1b.flags\n--tp=64\n", "heads / tp = 32 / 64"},
  };
  for (const auto& [text, message] : mistakes) {
    const std::string error = ErrorOf(text);
    EXPECT_THAT(error, ::testing::HasSubstr(message)) << text;
    EXPECT_THAT(error, ::testing::HasSubstr("a.flags:")) << text;
  }
}

TEST_F(FlagfileTest, AMistypedFileIsAnsweredWithTheNearest) {
  Write("gpt2_124m.flags", "");
  const std::string meant = directory_ / "gpt2_124m.flags";
  EXPECT_EQ(NearestFlagfile(directory_ / "gpt_124m.flags"), meant);
  EXPECT_EQ(NearestFlagfile(meant), "") << "it is there";
  EXPECT_THAT(ErrorOf("--flagfile=" + (directory_ / "gpt_124m.flags").string() + "\n"),
              ::testing::HasSubstr("; did you mean " + meant + "?"));
}

TEST_F(FlagfileTest, APresetNamedWithoutItsFolderIsFound) {
  const std::filesystem::path here = std::filesystem::current_path();
  std::filesystem::current_path(directory_.path());
  std::filesystem::create_directory("configs");
  Write("configs/coffee.flags", "");
  const std::string named = NearestFlagfile("coffee.flags");
  std::filesystem::current_path(here);
  EXPECT_EQ(named, "configs/coffee.flags");
}

TEST_F(FlagfileTest, AMissingFileAndADirectoryAreErrorsOfTheConfiguration) {
  EXPECT_THROW(CommandLine::Parse("train", {"--flagfile=/nowhere/x"}), core::ConfigError);
  EXPECT_THROW(CommandLine::Parse("train", {"--flagfile=" + directory_.path().string()}),
               core::ConfigError);
}

}  // namespace
}  // namespace moat::configs
