// The import as a whole: thresholds, quarantine, what happens to OUT, splits.
#include "data/import.h"

#include <sys/resource.h>

#include <csignal>
#include <set>

#include "data/dataset.h"
#include "data/index.h"
#include "data/splitting.h"
#include "data/verify.h"
#include "tests/data/fixture.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;

size_t EntriesIn(const fs::path& directory) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(directory), {}));
}

TEST(Import, QuarantinesBadLinesBelowTheThreshold) {
  const testing::TemporaryDirectory directory;
  WriteText(directory / "in.jsonl", CoffeeLines(20) + "not json\n" + CoffeeLine(21));
  configs::ImportConfig config = ImportOf(directory / "in.jsonl", directory / "set");
  config.max_bad_fraction = 0.05;
  const ImportReport report = Import(config);
  EXPECT_EQ(report.records, 22);
  EXPECT_EQ(report.quarantined, 1);
  EXPECT_EQ(report.train.interactions + report.validation.interactions, 21);
  const std::string quarantine = core::ReadWholeFile(directory / "set/quarantine.jsonl");
  EXPECT_TRUE(Contains(quarantine, "\"line\":21")) << quarantine;
  EXPECT_TRUE(Contains(quarantine, "not JSON")) << quarantine;
  EXPECT_EQ(Verify(directory / "set").interactions, 21);
}

TEST(Import, FailsAboveTheThresholdAndLeavesNothing) {
  const testing::TemporaryDirectory directory;
  WriteText(directory / "in.jsonl", CoffeeLines(20) + "not json\n");
  configs::ImportConfig config = ImportOf(directory / "in.jsonl", directory / "set");
  config.max_bad_fraction = 0.04;
  const std::string error = ErrorOf(core::ExitCode::kData, [&] { Import(config); });
  EXPECT_TRUE(Contains(error, "1 of 21 records")) << error;
  EXPECT_TRUE(Contains(error, "in.jsonl:21: not JSON")) << error;
  EXPECT_EQ(EntriesIn(directory.path()), 1u);
}

TEST(Import, RefusesMissingAndEmptyInputs) {
  const testing::TemporaryDirectory directory;
  fs::create_directories(directory / "empty");
  WriteText(directory / "empty.jsonl", "\n");
  const auto error_of = [&](core::ExitCode code, const std::string& in) {
    return ErrorOf(code, [&] { Import(ImportOf(directory / in, directory / "set")); });
  };
  EXPECT_TRUE(Contains(error_of(core::ExitCode::kConfig, "nowhere"), "no such file"));
  EXPECT_TRUE(Contains(error_of(core::ExitCode::kData, "empty"), "no interactions"));
  EXPECT_TRUE(Contains(error_of(core::ExitCode::kData, "empty.jsonl"), "no interactions"));
  EXPECT_EQ(EntriesIn(directory.path()), 2u);
}

TEST(Import, RepeatingIsNothingToDoAndAnythingElseIsRefused) {
  const testing::TemporaryDirectory directory;
  WriteText(directory / "in.jsonl", CoffeeLines(20));
  configs::ImportConfig config = ImportOf(directory / "in.jsonl", directory / "set");
  const ImportReport first = Import(config);
  EXPECT_FALSE(first.already_done);
  const ImportReport again = Import(config);
  EXPECT_TRUE(again.already_done);
  EXPECT_EQ(again.content_digest, first.content_digest);
  EXPECT_EQ(again.train.tokens, first.train.tokens);
  config.seed = 2;
  EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kConfig, [&] { Import(config); }), "exists"));
  config.seed = 1;
  WriteText(directory / "in.jsonl", CoffeeLines(21));
  ErrorOf(core::ExitCode::kConfig, [&] { Import(config); });
  WriteText(directory / "precious/file", "mine");
  ErrorOf(core::ExitCode::kConfig,
          [&] { Import(ImportOf(directory / "in.jsonl", directory / "precious")); });
  EXPECT_EQ(core::ReadWholeFile(directory / "precious/file"), "mine");
}

TEST(Import, IsDeterministicForAnyThreadsAndKeys) {
  const testing::TemporaryDirectory directory;
  WriteText(directory / "in.jsonl", CoffeeLines(60));
  configs::ImportConfig config = ImportOf(directory / "in.jsonl", directory / "a");
  const std::string digest = Import(config).content_digest;
  config.out = (directory / "b").string();
  config.threads = 1;
  EXPECT_EQ(Import(config).content_digest, digest);  // another user.key, too
  EXPECT_NE(core::ReadWholeFile(directory / "a/user.key"),
            core::ReadWholeFile(directory / "b/user.key"));
  EXPECT_EQ(fs::status(directory / "a/user.key").permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
}

TEST(Import, TakesATokenizerAndAKey) {
  const CoffeeSet first(40);
  WriteText(first.root() / "key", std::string(32, 'k'));
  WriteText(first.root() / "more.jsonl", CoffeeLines(25));
  configs::ImportConfig config = ImportOf(first.root() / "more.jsonl", first.root() / "second");
  config.tokenizer = (first.path() / "tokenizer.model").string();
  config.user_key = (first.root() / "key").string();
  Import(config);
  EXPECT_EQ(Dataset::Open(first.root() / "second").tokenizer_digest(),
            Dataset::Open(first.path()).tokenizer_digest());
  EXPECT_FALSE(fs::exists(first.root() / "second/user.key"));
  config.out = (first.root() / "third").string();
  WriteText(first.root() / "key", "short");
  EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kConfig, [&] { Import(config); }), "32 bytes"));
  config.user_key.clear();
  config.tokenizer = (first.root() / "key").string();
  ErrorOf(core::ExitCode::kData, [&] { Import(config); });
}

TEST(Import, CutsShardsAtTheLimit) {
  const CoffeeSet set(60, 500);
  const Dataset dataset = Dataset::Open(set.path());
  EXPECT_GT(dataset.ShardsOf("train").size(), 5u);
  for (const ShardEntry& shard : dataset.shards()) EXPECT_LE(shard.tokens, 500);
  EXPECT_EQ(Verify(set.path()).interactions, 60);
}

// A limit on the size of files stands in for a full disk.
TEST(Import, DiskFullIsAStorageErrorAndLeavesNothing) {
  const testing::TemporaryDirectory directory;
  WriteText(directory / "in.jsonl", CoffeeLines(400));
  const auto import_with_limit = [&](rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, bytes};
    setrlimit(RLIMIT_FSIZE, &limit);
    int code = 0;
    try {
      Import(ImportOf(directory / "in.jsonl", directory / "set"));
    } catch (const core::Error& error) {
      code = static_cast<int>(error.code());
    }
    _exit(code);
  };
  EXPECT_EXIT(import_with_limit(30000), ::testing::ExitedWithCode(74), "");  // the spool
  EXPECT_EXIT(import_with_limit(70000), ::testing::ExitedWithCode(74), "");
  EXPECT_EQ(EntriesIn(directory.path()), 1u);
}

Interaction Dialog(const std::vector<std::string>& texts, const std::string& user = "") {
  Interaction interaction;
  interaction.user = user;
  for (size_t i = 0; i < texts.size(); ++i) {
    interaction.segments.push_back({i % 2 == 0 ? Role::kUser : Role::kAssistant, 1, texts[i]});
  }
  return interaction;
}

TEST(Splitting, ByUserFromTwentyUsersOn) {
  for (const int users : {19, 20}) {
    Splitter splitter;
    std::vector<std::string> names;
    for (int i = 0; i < users * 5; ++i) {
      names.push_back("user" + std::to_string(i % users));
      splitter.Add(Dialog({"text " + std::to_string(i)}, names.back()));
    }
    const Split split = splitter.Decide(0.2, 1);
    EXPECT_EQ(split.rule.starts_with("by user"), users == 20) << split.rule;
    if (users < 20) continue;
    std::set<std::string> train, validation;
    for (size_t i = 0; i < names.size(); ++i) {
      (split.validation[i] ? validation : train).insert(names[i]);
    }
    EXPECT_EQ(train.size() + validation.size(), 20u);
    EXPECT_EQ(validation.size(), 4u);
  }
}

TEST(Splitting, ByPathKeepsHistoryAndTextTogether) {
  Splitter splitter;
  for (int i = 0; i < 60; ++i) {
    Interaction interaction = Dialog({"text " + std::to_string(i)}, i % 2 ? "" : "ada");
    interaction.path = "file" + std::to_string(i % 15);
    splitter.Add(interaction);
  }
  const Split split = splitter.Decide(0.2, 3);
  EXPECT_EQ(split.rule, "by path (15 paths)");
  for (size_t i = 15; i < 60; ++i) EXPECT_EQ(split.validation[i], split.validation[i % 15]);
}

TEST(Splitting, DialogsThatStartAlikeStayTogether) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Splitter splitter;
    std::vector<int> family;
    for (int i = 0; i < 30; ++i) {
      const std::string n = std::to_string(i);
      const std::vector<std::vector<std::string>> dialogs = {
          {"ask " + n, "answer " + n},
          {"ask " + n, "answer " + n, "more", "yes"},
          {"ask " + n, "another answer"},  // the same request, answered differently
          {"ask " + n, "answer " + n, "more", "no", "why"}};
      for (const auto& dialog : dialogs) {
        splitter.Add(Dialog(dialog));
        family.push_back(i);
      }
    }
    const Split split = splitter.Decide(0.1, seed);
    EXPECT_EQ(split.rule, "by id (120 dialogs in 30 groups that start alike)");
    std::set<int> train, validation;
    for (size_t i = 0; i < family.size(); ++i) {
      (split.validation[i] ? validation : train).insert(family[i]);
    }
    EXPECT_EQ(train.size() + validation.size(), 30u);
    EXPECT_GE(validation.size(), 1u);
  }
}

TEST(Splitting, NeitherSideIsEmptyWithTwoGroups) {
  for (const double fraction : {0.001, 0.5, 0.999}) {
    Splitter splitter;
    splitter.Add(Dialog({std::string(1000, 'x')}));
    splitter.Add(Dialog({"y"}));
    const Split split = splitter.Decide(fraction, 1);
    EXPECT_NE(split.validation[0], split.validation[1]);
  }
  Splitter one;
  one.Add(Dialog({"x"}));
  EXPECT_FALSE(one.Decide(0.5, 1).validation[0]);
}

}  // namespace
}  // namespace moat::data
