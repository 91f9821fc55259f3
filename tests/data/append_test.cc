// Appending: a new version beside the old one, which keeps its bytes, numbers and sides.
#include "data/append.h"

#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <set>

#include "core/digest.h"
#include "data/dataset_walk.h"
#include "data/forget.h"
#include "data/import.h"
#include "data/old_interactions.h"
#include "data/sample_stream.h"
#include "data/statistics.h"
#include "data/user_key.h"
#include "data/verify.h"
#include "tests/data/fixture.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;

// A dialog of some messages, user and assistant in turns.
std::string Dialog(const std::string& user, const std::vector<std::string>& messages,
                   const std::string& time = "1700000000") {
  std::string line = "{";
  if (!user.empty()) line += R"("user": ")" + user + R"(", )";
  line += R"("time": )" + time + R"(, "messages": [)";
  for (size_t i = 0; i < messages.size(); ++i) {
    line += std::string(i == 0 ? "" : ", ") + R"({"role": ")" +
            (i % 2 == 0 ? "user" : "assistant") + R"(", "content": ")" + messages[i] + R"("})";
  }
  return line + "]}\n";
}

// Words drawn from `seed`, so that no two texts are near each other.
std::string Words(uint64_t seed, int count = 30) {
  const std::string digest = core::Hex(core::Sha256Of(std::to_string(seed)));
  std::string text;
  for (int i = 0; i < count; ++i) {
    text +=
        (i == 0 ? "" : " ") + core::Hex(core::Sha256Of(digest + std::to_string(i))).substr(0, 6);
  }
  return text;
}

std::string UsersLines(int first, int count, int users) {
  std::string text;
  for (int i = first; i < first + count; ++i) {
    const std::string n = std::to_string(i);
    text += Dialog("user" + std::to_string(i % users), {"ask " + n, "answer " + n});
  }
  return text;
}

class AppendTest : public ::testing::Test {
 protected:
  fs::path set() const { return directory_ / "set"; }

  configs::ImportConfig ConfigOf(const std::string& text, const std::string& name) const {
    WriteText(directory_ / name, text);
    configs::ImportConfig config = ImportOf(directory_ / name, set());
    config.shard_tokens = 1500;
    return config;
  }

  void ImportLines(const std::string& text, const std::string& dedup = "off") const {
    configs::ImportConfig config = ConfigOf(text, "old.jsonl");
    config.dedup = dedup;
    Import(config);
  }

  configs::ImportConfig AppendOf(const std::string& text, const std::string& name) const {
    configs::ImportConfig config = ConfigOf(text, name);
    config.append = true;
    config.dedup = "";
    config.near_threshold = 0;
    return config;
  }

  ImportReport AppendLines(const std::string& text, const std::string& name = "new.jsonl") const {
    return Import(AppendOf(text, name));
  }

  // Text of every interaction, and its split.
  std::multimap<std::string, Side> Sides() const {
    std::multimap<std::string, Side> sides;
    const Dataset dataset = Dataset::Open(set());
    OldInteractions reader(dataset);
    for (OldInteraction old; reader.Next(&old);) {
      std::string text;
      for (const Segment& segment : old.interaction.segments) text += segment.text + "|";
      sides.emplace(text, old.side);
    }
    return sides;
  }

  std::map<std::string, std::string> Files() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(set())) {
      if (!entry.is_regular_file() || entry.path().filename() == kIndexFile) continue;
      files[fs::relative(entry.path(), set())] =
          core::Hex(core::Sha256Of(core::ReadWholeFile(entry.path())));
    }
    return files;
  }

  testing::TemporaryDirectory directory_;
};

std::vector<uint64_t> SampleHashes(const fs::path& path, int version) {
  const Dataset dataset = Dataset::Open(path, version);
  const SampleStream stream(dataset, "train", StreamOptions{{64}, 3});
  std::vector<uint64_t> hashes;
  for (uint64_t i = 0; i < static_cast<uint64_t>(stream.samples_per_epoch()); ++i) {
    hashes.push_back(stream.Read(std::vector<uint64_t>{i}).content_hash);
  }
  return hashes;
}

TEST_F(AppendTest, TheOldVersionKeepsItsBytesNumbersAndSamples) {
  ImportLines(UsersLines(0, 300, 30));
  const auto before = Files();
  const Index old = ReadIndex(set());
  const auto samples = SampleHashes(set(), 1);
  const ImportReport report = AppendLines(UsersLines(300, 200, 40));
  EXPECT_EQ(report.added, 200);
  EXPECT_EQ(report.version, 2);
  const auto after = Files();
  EXPECT_GT(after.size(), before.size());
  for (const auto& [file, digest] : before) EXPECT_EQ(after.at(file), digest) << file;
  const Index index = ReadIndex(set());
  ASSERT_GT(index.shards.size(), old.shards.size());
  for (size_t i = 0; i < old.shards.size(); ++i)
    EXPECT_EQ(index.shards[i].file, old.shards[i].file);
  EXPECT_EQ(index.history.at(1).kind, "append");
  EXPECT_EQ(index.history.at(1).interactions, 200);
  EXPECT_EQ(index.history.at(0).digests, (std::vector<std::string>{old.content_digest}));
  EXPECT_EQ(SampleHashes(set(), 1), samples);
  EXPECT_GT(SampleHashes(set(), 2).size(), samples.size());
  EXPECT_EQ(Verify(set()).interactions, 500);
}

TEST_F(AppendTest, UsersKeepTheirSideAndNewUsersGetTheSameOneInEveryAppend) {
  ImportLines(UsersLines(0, 300, 30));
  AppendLines(UsersLines(300, 300, 60));
  AppendLines(UsersLines(600, 300, 60), "third.jsonl");
  const Dataset dataset = Dataset::Open(set());
  EXPECT_EQ(dataset.version(), 3);
  std::map<uint64_t, std::set<Side>> sides;
  std::set<Side> new_sides;
  const std::string key = ReadUserKey(set(), "");
  OldInteractions reader(dataset);
  for (OldInteraction old; reader.Next(&old);) sides[old.user].insert(old.side);
  EXPECT_EQ(sides.size(), 60u);
  for (const auto& [user, held] : sides) EXPECT_EQ(held.size(), 1u);
  for (int i = 30; i < 60; ++i) {
    new_sides.merge(std::set(sides.at(HashOfUser(key, "user" + std::to_string(i)))));
  }
  EXPECT_TRUE(new_sides.contains(Side::kTrain));
}

TEST_F(AppendTest, DialogsGoWhereTheirStartsAreAndThoseThatWouldJoinTwoSplitsAreLeftOut) {
  // Two dialogs that are apart until somebody only asks what both begin with.
  std::string old;
  for (int i = 0; i < 60; ++i) {
    const std::string n = std::to_string(i);
    for (const char* turn : {"a", "b"})
      old += Dialog("", {"open " + n, "yes " + n, turn + n, "end"});
  }
  ImportLines(old);
  const auto before = Sides();
  std::string text;
  int64_t joining = 0, extending = 0;
  std::map<std::string, Side> expected;
  for (int i = 0; i < 60; ++i) {
    const std::string n = std::to_string(i);
    const std::string begin = "open " + n + "|yes " + n + "|";
    const Side a = before.find(begin + "a" + n + "|end|")->second;
    const Side b = before.find(begin + "b" + n + "|end|")->second;
    if (a != b) {
      text += Dialog("", {"open " + n, "yes " + n});
      ++joining;
    } else {
      text += Dialog("", {"open " + n, "yes " + n, "a" + n, "end", "more"});
      expected[begin + "a" + n + "|end|more|"] = a;
      ++extending;
    }
  }
  ASSERT_GT(joining, 0);
  ASSERT_GT(extending, 0);
  const ImportReport report = AppendLines(text);
  EXPECT_EQ(report.added, extending);
  EXPECT_EQ(report.counts.at("dialogs left out that would join two splits"), joining);
  const auto after = Sides();
  for (const auto& [dialog, side] : expected) EXPECT_EQ(after.find(dialog)->second, side) << dialog;
  EXPECT_EQ(Verify(set()).interactions, 120 + extending);
}

TEST_F(AppendTest, WhatIsThereAlreadyIsLeftOutUnlessItWasForgotten) {
  ImportLines(UsersLines(0, 120, 30), "exact");
  EXPECT_EQ(AppendLines(UsersLines(100, 40, 30)).counts.at("duplicates left out"), 20);
  EXPECT_EQ(ReadIndex(set()).history.at(1).interactions, 20);
  const int64_t forgotten = Forget(set(), "user7", "").interactions;
  EXPECT_EQ(forgotten, 5);  // 7, 37, 67, 97 and 127
  const ImportReport again = AppendLines(UsersLines(0, 141, 30), "again.jsonl");
  EXPECT_EQ(again.added, forgotten + 1);
  EXPECT_EQ(again.version, 4);
  EXPECT_EQ(Verify(set()).interactions, 146);
  const ForgetReport last = Forget(set(), "user7", "");
  EXPECT_EQ(last.interactions, forgotten);
  EXPECT_EQ(last.version, 5);
  EXPECT_EQ(Verify(set()).interactions, 146);
}

TEST_F(AppendTest, AllDuplicatesMakeNoVersionAndAreNotReadAgain) {
  ImportLines(UsersLines(0, 120, 30), "exact");
  const configs::ImportConfig config = AppendOf(UsersLines(0, 60, 30), "new.jsonl");
  const ImportReport first = Import(config);
  EXPECT_EQ(first.added, 0);
  EXPECT_EQ(first.version, 1);
  EXPECT_FALSE(first.already_done);
  EXPECT_TRUE(Import(config).already_done);
}

TEST_F(AppendTest, WhatIsNearlyThereAlreadyIsLeftOutAtAnyNumberOfThreads) {
  std::string old, text;
  for (uint64_t i = 0; i < 40; ++i) old += Dialog("", {Words(i), Words(1000 + i)});
  for (uint64_t i = 0; i < 10; ++i) text += Dialog("", {Words(i), Words(1000 + i) + " more"});
  for (uint64_t i = 40; i < 60; ++i) text += Dialog("", {Words(i), Words(1000 + i)});
  ImportLines(old, "near");
  fs::copy(set(), directory_ / "kept", fs::copy_options::recursive);
  std::map<std::string, std::string> expected;
  configs::ImportConfig config = AppendOf(text, "new.jsonl");
  for (const int threads : {1, 2, 4}) {
    fs::remove_all(set());
    fs::copy(directory_ / "kept", set(), fs::copy_options::recursive);
    config.threads = threads;
    const ImportReport report = Import(config);
    EXPECT_EQ(report.counts.at("near duplicates left out"), 10);
    EXPECT_EQ(report.added, 20);
    if (expected.empty()) expected = Files();
    EXPECT_EQ(Files(), expected) << threads << " threads";
  }
}

TEST_F(AppendTest, KilledAtAnyPointItIsFinishedByTheNextWithTheSameBytes) {
  ImportLines(UsersLines(0, 120, 30));
  fs::copy(set(), directory_ / "kept", fs::copy_options::recursive);
  configs::ImportConfig config = AppendOf("not json\n" + UsersLines(120, 300, 40), "new.jsonl");
  config.max_bad_fraction = 0.1;
  Import(config);
  const auto expected = Files();
  EXPECT_TRUE(expected.contains("quarantine.v2.jsonl"));
  const std::string digest = ReadIndex(set()).content_digest;
  for (const char* fault :
       {"import.before_state:kill", "import.after_state:kill", "import.sealed:kill",
        "import.journalled:kill", "append.before_index:kill", "append.after_index:kill"}) {
    fs::remove_all(set());
    fs::copy(directory_ / "kept", set(), fs::copy_options::recursive);
    const pid_t child = fork();
    if (child == 0) {
      setenv("MOAT_FAULT", fault, 1);
      try {
        Import(config);
      } catch (...) {
        _exit(1);
      }
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << fault;
    const bool committed = std::string(fault).starts_with("append.after");
    EXPECT_EQ(ReadIndex(set()).history.size(), committed ? 2u : 1u) << fault;
    EXPECT_EQ(Verify(set()).interactions, committed ? 420 : 120) << fault;
    EXPECT_EQ(Import(config).already_done, committed) << fault;
    EXPECT_EQ(Files(), expected) << fault;
    EXPECT_EQ(ReadIndex(set()).content_digest, digest) << fault;
    EXPECT_TRUE(Import(config).already_done) << fault;
    EXPECT_EQ(ReadIndex(set()).history.size(), 2u);
  }
}

TEST_F(AppendTest, AForgetAfterAKillLeavesNothingOfWhatTheAppendHadRead) {
  ImportLines(UsersLines(0, 120, 30));
  const configs::ImportConfig config = AppendOf(UsersLines(120, 300, 40), "new.jsonl");
  const pid_t child = fork();
  if (child == 0) {
    setenv("MOAT_FAULT", "import.journalled:kill", 1);
    Import(config);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_GT(Forget(set(), "user3", "").interactions, 0);
  for (const auto& entry : fs::directory_iterator(set())) {
    EXPECT_FALSE(entry.path().filename().string().starts_with(".append")) << entry.path();
  }
  EXPECT_EQ(Import(config).added, 300);
  EXPECT_EQ(ReadIndex(set()).history.size(), 3u);
  EXPECT_EQ(Verify(set()).interactions, 420);
}

TEST_F(AppendTest, ByTimeNobodyWhoIsInTrainingIsHeldOutLater) {
  std::string old, text;
  for (int i = 0; i < 200; ++i) {
    old += Dialog("user" + std::to_string(i % 25), {"ask " + std::to_string(i), "answer"},
                  std::to_string(1700000000 + i % 25 * 1000));
  }
  configs::ImportConfig config = ConfigOf(old, "old.jsonl");
  config.split = "time";
  Import(config);
  for (int i = 200; i < 400; ++i) {
    text += Dialog("user" + std::to_string(i % 50), {"ask " + std::to_string(i), "answer"},
                   std::to_string(1800000000 + i % 50 * 1000));
  }
  AppendLines(text);
  const Dataset dataset = Dataset::Open(set());
  std::map<uint64_t, std::set<Side>> sides;
  OldInteractions reader(dataset);
  for (OldInteraction one; reader.Next(&one);) sides[one.user].insert(one.side);
  EXPECT_EQ(sides.size(), 50u);
  for (const auto& [user, held] : sides) EXPECT_EQ(held.size(), 1u);
  EXPECT_EQ(sides.at(HashOfUser(ReadUserKey(set(), ""), "user49")),
            std::set<Side>{Side::kValidation});
}

TEST_F(AppendTest, StatisticsSayWhatEachVersionHoldsOfAUser) {
  ImportLines(UsersLines(0, 120, 30));
  AppendLines(UsersLines(120, 60, 30));
  UserStatistics user = MeasureUser(Dataset::Open(set(), 1), "user7", "");
  ASSERT_EQ(user.versions.size(), 2u);
  EXPECT_EQ(user.versions[0].interactions(), 4);
  EXPECT_EQ(user.versions[1].interactions(), 6);
  Forget(set(), "user7", "");
  user = MeasureUser(Dataset::Open(set()), "user7", "");
  ASSERT_EQ(user.versions.size(), 3u);
  for (const auto& version : user.versions) EXPECT_EQ(version.interactions(), 0);
  EXPECT_EQ(user.versions[2].forgotten, 6);
  const std::string text = ToText(user);
  EXPECT_TRUE(Contains(text, "versions before it held 6 interactions that were forgotten here"))
      << text;
  EXPECT_FALSE(Contains(text, "user7"));
  AppendLines(UsersLines(180, 30, 30), "back.jsonl");
  EXPECT_EQ(MeasureUser(Dataset::Open(set()), "user7", "").versions[3].interactions(), 1);
}

TEST_F(AppendTest, RefusesWhatIsNoDataSetAndAnotherKey) {
  EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kConfig, [&] { AppendLines(UsersLines(0, 9, 3)); }),
                       "expected a data set"));
  configs::ImportConfig config = ConfigOf(UsersLines(0, 60, 30), "old.jsonl");
  WriteText(directory_ / "key", std::string(32, 'k'));
  config.user_key = (directory_ / "key").string();
  Import(config);
  WriteText(directory_ / "other", std::string(32, 'o'));
  configs::ImportConfig append = AppendOf(UsersLines(60, 9, 3), "new.jsonl");
  EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kConfig, [&] { Import(append); }), "--user_key"));
  append.user_key = (directory_ / "other").string();
  EXPECT_TRUE(
      Contains(ErrorOf(core::ExitCode::kConfig, [&] { Import(append); }), "is not the key"));
  append.user_key = config.user_key;
  EXPECT_EQ(Import(append).added, 9);
}

}  // namespace
}  // namespace moat::data
