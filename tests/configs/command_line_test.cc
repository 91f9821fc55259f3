// The command line: forms, refusals with the right form, help, round trip.
#include "configs/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/commands.h"
#include "configs/help.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "tests/support/temporary_directory.h"

namespace moat::configs {
namespace {

using Words = std::vector<std::string>;

std::string ErrorOf(const std::string& command, const Words& arguments) {
  try {
    CommandLine::Parse(command, arguments);
  } catch (const core::ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(CommandLine, ReadsValuesAndRemembersWhereTheyCameFrom) {
  const auto line = CommandLine::Parse("train", {"--layers=2", "--lr=1e-3", "--tie_embeddings"});
  EXPECT_EQ(line.Int("layers"), 2);
  EXPECT_EQ(line.Double("lr"), 1e-3);
  EXPECT_TRUE(line.Bool("tie_embeddings"));
  EXPECT_EQ(line.origin("layers"), "command line");
  EXPECT_EQ(line.origin("heads"), "default");
  EXPECT_EQ(line.value("heads"), std::to_string(ModelConfig{}.heads));
}

TEST(CommandLine, SkipsTheProgramsName) {
  const char* argv[] = {"moat-train", "--steps=7"};
  EXPECT_EQ(CommandLine::Parse("train", 2, argv).Int("steps"), 7);
}

TEST(CommandLine, LastValueWinsAndNoBoolIsFalse) {
  const auto line =
      CommandLine::Parse("train", {"--tp=1", "--tie_embeddings", "--notie_embeddings", "--tp=2"});
  EXPECT_EQ(line.value("tp"), "2");
  EXPECT_FALSE(line.Bool("tie_embeddings"));
}

TEST(CommandLine, ListsCollectAndTheirValuesKeepCommas) {
  const auto line = CommandLine::Parse("data import", {"--in=a,b", "--in=c", "--out=o"});
  EXPECT_EQ(ImportConfigFromFlags(line).in, (Words{"a,b", "c"}));
}

TEST(CommandLine, LossRolesMayBeRepeatedOrSeparatedByCommas) {
  const Words base = {"--run=r", "--data=d"};
  for (const Words& roles :
       {Words{"--loss_roles=user,tool"}, Words{"--loss_roles=user", "--loss_roles=tool"}}) {
    Words arguments = base;
    arguments.insert(arguments.end(), roles.begin(), roles.end());
    const auto config = TrainConfigFromFlags(CommandLine::Parse("train", arguments));
    EXPECT_EQ(config.loss_roles, (Words{"user", "tool"}));
  }
}

TEST(CommandLine, SeveralDataSetsKeepTheirOrderThroughAFlagfile) {
  const testing::TemporaryDirectory directory;
  const auto line =
      CommandLine::Parse("launch", {"--run=r", "--data=a,1", "--data=b", "--data_weights=0.7,0.3",
                                    "--data_version=0", "--data_version=2"});
  const std::string file = directory / "run.flags";
  core::WriteFileAtomically(file, line.ResolvedFlags("train"));
  const auto again = CommandLine::Parse("train", {"--flagfile=" + file});
  for (const CommandLine& one : {line, again}) {
    const TrainConfig config = TrainConfigFromFlags(one);
    EXPECT_EQ(config.data, (Words{"a,1", "b"}));
    EXPECT_EQ(config.data_weights, (std::vector<double>{0.7, 0.3}));
    EXPECT_EQ(config.data_version, (std::vector<int>{0, 2}));
  }
  EXPECT_THAT(ResolvedJson(again),
              ::testing::ContainsRegex("\"values\": \\[\n *\"a,1\",\n *\"b\""));
  const auto other = CommandLine::Parse(
      "train", {"--flagfile=" + file, "--data=c", "--data_weights=", "--data_version=0"});
  EXPECT_EQ(TrainConfigFromFlags(other).data, Words{"c"}) << "a later source replaces a list";
  EXPECT_TRUE(TrainConfigFromFlags(other).data_version.empty());
}

TEST(CommandLine, ARunThatFollowsTheFlagsMayBeAFlag) {
  for (const char* command : {"status", "logs", "why", "stop", "checkpoint list",
                              "checkpoint inspect", "checkpoint verify", "checkpoint prune"}) {
    EXPECT_EQ(CommandLine::Parse(command, Words{"--run=mine"}).positional(), Words{"mine"});
    EXPECT_EQ(CommandLine::Parse(command, Words{"mine"}).positional(), Words{"mine"});
    EXPECT_THAT(ErrorOf(command, {"--run=mine", "other"}),
                ::testing::HasSubstr("--run=mine and \"other\": name one"));
  }
  EXPECT_TRUE(CommandLine::Parse("train", Words{"--run=mine"}).positional().empty());
}

TEST(CommandLine, TheTypeOfProductsIsPointedToWhereFp8IsAskedForAsTheTypeOfAll) {
  try {
    TrainConfigFromFlags(CommandLine::Parse("train", {"--run=r", "--data=d", "--dtype=fp8"}));
    FAIL();
  } catch (const core::ConfigError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("--dtype=bf16 --matmul_dtype=fp8"));
  }
}

struct Mistake {
  std::string command;
  Words arguments;
  std::string message;  // part of it
};

TEST(CommandLine, EachMistakeIsAnsweredWithWhatToWrite) {
  const Mistake mistakes[] = {
      {"train", {"--tp", "8"}, "write --tp=8"},
      {"train", {"--tp"}, "write --tp=VALUE"},
      {"train", {"-tp=8"}, "flags have two dashes: --tp=8"},
      {"train", {"--layer=8"}, "did you mean --layers?"},
      {"train", {"--tp=two"}, "--tp=two: expected a whole number"},
      {"train", {"--tp="}, "expected a whole number"},
      {"train", {"--tp= 2"}, "expected a whole number"},
      {"train", {"--tp=4294967297"}, "expected a whole number"},
      {"train", {"--seed=-1"}, "whole number of at least 0"},
      {"train", {"--lr=fast"}, "expected a number"},
      {"train", {"--bias=maybe"}, "expected true or false"},
      {"train", {"--nolayers"}, "--layers is not true or false"},
      {"train", {"--fromenv=HOME"}, "--fromenv is not offered"},
      {"train", {"--undefok=x"}, "--undefok is not offered"},
      {"train", {"--version"}, "--version is not offered"},
      {"train", {"--prompt=x"}, "--prompt belongs to moat generate"},
      {"train", {"data"}, "unexpected \"data\""},
      {"train", {"--flagfile"}, "write --flagfile=FILE"},
      {"data stat", {}, "needs DIR"},
      {"data stat", {"a", "b"}, "unexpected \"b\""},
  };
  for (const Mistake& mistake : mistakes) {
    EXPECT_THAT(ErrorOf(mistake.command, mistake.arguments), ::testing::HasSubstr(mistake.message));
  }
}

TEST(CommandLine, EachMistakeInAListOfNumbersIsNamed) {
  for (const std::string wrong :
       {"--data_weights=a,b", "--data_weights=1,2x", "--data_weights=1,,2",
        "--data_weights=1,1e999", "--data_version=1,x", "--data_version=1.5,1",
        "--data_version=1,4294967297"}) {
    try {
      TrainConfigFromFlags(CommandLine::Parse("train", {"--run=r", "--data=a", "--data=b", wrong}));
      ADD_FAILURE() << wrong;
    } catch (const core::ConfigError& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr(wrong.substr(0, wrong.find('='))));
    }
  }
}

TEST(CommandLine, ResolvedFlagsReadBackEqual) {
  testing::TemporaryDirectory directory;
  const auto line = CommandLine::Parse(
      "launch", {"--run=r", "--data=a \"$quoted\" path", "--lr=0.1", "--loss_roles=user",
                 "--loss_roles=tool", "--grace=3", "--tie_embeddings"});
  const std::string file = directory / "run.flags";
  core::WriteFileAtomically(file, line.ResolvedFlags());
  const auto again = CommandLine::Parse("launch", {"--flagfile=" + file});
  EXPECT_EQ(again.ResolvedFlags(), line.ResolvedFlags());
  EXPECT_EQ(again.value("data"), "a \"$quoted\" path");

  core::WriteFileAtomically(file, line.ResolvedFlags("train"));
  const auto train = CommandLine::Parse("train", {"--flagfile=" + file});
  EXPECT_EQ(train.ResolvedFlags(), line.ResolvedFlags("train"));
  EXPECT_EQ(TrainConfigFromFlags(train).loss_roles, (Words{"user", "tool"}));
}

TEST(CommandLine, DefaultsOfTheFlagsAreThoseOfTheStructs) {
  const auto config = TrainConfigFromFlags(CommandLine::Parse("train", {"--run=r", "--data=d"}));
  const TrainConfig expected;
  EXPECT_EQ(config.model, expected.model);
  EXPECT_EQ(config.lr, expected.lr);
  EXPECT_EQ(config.loss_roles, expected.loss_roles);
  EXPECT_EQ(config.keep_checkpoints, expected.keep_checkpoints);
  EXPECT_EQ(config.collective_timeout, expected.collective_timeout);
  const auto import_config =
      ImportConfigFromFlags(CommandLine::Parse("data import", {"--in=i", "--out=o"}));
  EXPECT_EQ(import_config.vocab_size, ImportConfig{}.vocab_size);
  EXPECT_EQ(import_config.max_bad_fraction, ImportConfig{}.max_bad_fraction);
  EXPECT_EQ(import_config.dedup, "off");
  EXPECT_EQ(import_config.split, "auto");
  const auto generate =
      GenerateConfigFromFlags(CommandLine::Parse("generate", {"--run=r", "--prompt=p"}));
  EXPECT_EQ(generate.temperature, GenerateConfig{}.temperature);
}

TEST(CommandLine, AnAppendRefusesWhatTheDataSetDecides) {
  const auto parse = [](const std::vector<std::string>& flags) {
    std::vector<std::string> words = {"--in=i", "--out=o", "--append"};
    words.insert(words.end(), flags.begin(), flags.end());
    return ImportConfigFromFlags(CommandLine::Parse("data import", words));
  };
  for (const char* flag : {"--tokenizer=t", "--vocab_size=4096", "--split=auto", "--seed=1",
                           "--validation_fraction=0.05", "--test_fraction=0"}) {
    try {
      parse({flag});
      ADD_FAILURE() << flag;
    } catch (const core::ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find("does not go with --append"), std::string::npos);
    }
  }
  EXPECT_EQ(parse({}).dedup, "");
  EXPECT_EQ(parse({}).near_threshold, 0);
  EXPECT_EQ(parse({"--dedup=near"}).dedup, "near");
  EXPECT_THROW(parse({"--dedup=nearly"}), core::ConfigError);
  EXPECT_THROW(parse({"--near_threshold=0.1"}), core::ConfigError);
}

TEST(CommandLine, EveryFlagOfRecordsFillsItsField) {
  const auto records = [](const std::string& flag) {
    return ImportConfigFromFlags(CommandLine::Parse("data import", {"--in=i", "--out=o", flag}))
        .records;
  };
  EXPECT_EQ(records("--format=chat").format, "chat");
  EXPECT_EQ(records("--weight_on=all").weight_on, "all");
  EXPECT_EQ(records("--field_messages=x.y").field_messages, "x.y");
  EXPECT_EQ(records("--field_prompt=x").field_prompt, "x");
  EXPECT_EQ(records("--field_completion=x").field_completion, "x");
  EXPECT_EQ(records("--field_system=x").field_system, "x");
  EXPECT_EQ(records("--field_text=x").field_text, "x");
  EXPECT_EQ(records("--field_id=x").field_id, "x");
  EXPECT_EQ(records("--field_user=x").field_user, "x");
  EXPECT_EQ(records("--field_time=x").field_time, "x");
  EXPECT_EQ(records("--field_request=x").field_request, "x");
  EXPECT_EQ(records("--field_weight=x").field_weight, "x");
  EXPECT_EQ(records("--field_outcome=x").field_outcome, "x");
  EXPECT_EQ(records("--outcomes=a=b=0.5,c=1").outcomes,
            (std::map<std::string, double>{{"a=b", 0.5}, {"c", 1}}));
  for (const char* wrong : {"--format=parquet", "--weight_on=first", "--field_id=", "--outcomes=a",
                            "--outcomes==1", "--outcomes=a=", "--outcomes=a=-1", "--outcomes=a=nan",
                            "--outcomes=a=1x", "--outcomes=a=1,a=2"}) {
    EXPECT_THROW(records(wrong), core::ConfigError) << wrong;
  }
}

TEST(CommandLine, AValueThatNoLineCanHoldIsRefusedWhenItWouldBeWritten) {
  for (const std::string data : {"a\nb", "a ", "a #b"}) {
    const auto line = CommandLine::Parse("train", {"--data=" + data});
    EXPECT_THROW(line.ResolvedFlags(), core::ConfigError) << data;
  }
}

TEST(CommandLine, AskingForAFlagOfAnotherCommandIsABug) {
  EXPECT_THROW(CommandLine::Parse("train", Words{}).value("prompt"), core::BugError);
}

TEST(Help, EveryCommandHasUsageExamplesAndItsFlags) {
  for (const CommandInfo& command : Commands()) {
    const std::string help = HelpText(command.name, HelpOrder::kFlagsFirst);
    EXPECT_THAT(help, ::testing::StartsWith("Usage: moat " + command.name));
    EXPECT_THAT(help, ::testing::HasSubstr("Examples:\n  "));
    EXPECT_THAT(HelpText(command.name, HelpOrder::kExamplesFirst),
                ::testing::StartsWith("Examples:"));
    EXPECT_TRUE(command.name == "train" || FlagNamesOf(command.bit).back() == "json")
        << command.name << " lacks --json";
  }
  EXPECT_THAT(HelpText("train", HelpOrder::kFlagsFirst), ::testing::HasSubstr("--lr=3e-04 "));
}

TEST(Help, IsPrintedInsteadOfParsing) {
  ::testing::internal::CaptureStdout();
  EXPECT_TRUE(CommandLine::Parse("train", {"--nonsense", "--help"}).help_printed());
  EXPECT_THAT(::testing::internal::GetCapturedStdout(), ::testing::StartsWith("Usage: moat train"));
}

}  // namespace
}  // namespace moat::configs
