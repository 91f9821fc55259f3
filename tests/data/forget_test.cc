// Forgetting: a user's text leaves every file, numbering stays, and a kill leaves one state or the
// other.
#include "data/forget.h"

#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fcntl.h>

#include "data/chat_template.h"
#include "data/dataset.h"
#include "data/dataset_lock.h"
#include "data/dataset_walk.h"
#include "data/index.h"
#include "data/sample_stream.h"
#include "data/tokenizer.h"
#include "data/user_key.h"
#include "data/verify.h"
#include "tests/data/fixture.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;

std::string LineOf(const std::string& user, int i) {
  const std::string n = std::to_string(i);
  return R"({"user": ")" + user +
         R"(", "time": 1700000000, "messages": [{"role": "user", "content": "I am )" + user +
         " and ask " + n + R"("}, {"role": "assistant", "content": "answer )" + n + " for " + user +
         R"("}]})" + "\n";
}

// 24 users with 5 interactions each, in several shards.
class UserSet {
 public:
  UserSet() {
    std::string text = "not json\n";
    for (int i = 0; i < 120; ++i) text += LineOf("user" + std::to_string(i % 24), i);
    WriteText(directory_ / "in.jsonl", text);
    configs::ImportConfig config = ImportOf(directory_ / "in.jsonl", path());
    config.shard_tokens = 900;
    config.max_bad_fraction = 0.1;
    Import(config);
  }
  fs::path path() const { return directory_ / "set"; }
  fs::path root() const { return directory_.path(); }

 private:
  testing::TemporaryDirectory directory_;
};

// Everything a data set holds, as text, number by number.
std::vector<std::string> Texts(const fs::path& path, int version = 0) {
  const Dataset dataset = Dataset::Open(path, version);
  const Tokenizer tokenizer = Tokenizer::Load(dataset.tokenizer_path());
  std::vector<std::string> texts;
  for (const char* split : {"train", "validation"}) {
    WalkSplit(dataset, split, [&](const StoredInteractions& run, const StoredKeys&) {
      for (int64_t i = 0; i < run.size(); ++i) {
        texts.push_back(tokenizer.Decode(
            {run.tokens.begin() + run.TokenStart(i), run.tokens.begin() + run.TokenStart(i + 1)}));
      }
    });
  }
  return texts;
}

std::set<std::string> FilesIn(const fs::path& directory) {
  std::set<std::string> files;
  for (const auto& entry : fs::directory_iterator(directory)) files.insert(entry.path().filename());
  return files;
}

Batch Samples(const fs::path& path, int version) {
  const Dataset dataset = Dataset::Open(path, version);
  const SampleStream stream(dataset, "train", StreamOptions{{64}, 3});
  std::vector<uint64_t> numbers(static_cast<size_t>(stream.samples_per_epoch()));
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = i;
  return stream.Read(numbers);
}

TEST(Forget, ReplacesTheUsersInteractionsByBlanksAndNothingElse) {
  const UserSet set;
  const std::vector<std::string> before = Texts(set.path());
  const Index old = ReadIndex(set.path());
  const ForgetReport report = Forget(set.path(), "user7", "");
  EXPECT_EQ(report.interactions, 5);
  EXPECT_GE(report.shards, 1);
  EXPECT_EQ(report.files_removed, report.shards);
  EXPECT_EQ(report.version, 2);
  const std::vector<std::string> after = Texts(set.path());
  ASSERT_EQ(after.size(), before.size());
  int blanks = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    if (!Contains(before[i], "user7 ")) {
      EXPECT_EQ(after[i], before[i]);
      continue;
    }
    ++blanks;
    EXPECT_EQ(after[i].find_first_not_of(' '), std::string::npos) << after[i];
  }
  EXPECT_EQ(blanks, 5);
  EXPECT_EQ(Verify(set.path()).interactions, 120);
  const Index index = ReadIndex(set.path());
  EXPECT_EQ(index.history.at(1).kind, "forget");
  EXPECT_EQ(index.history.at(1).interactions, 5);
  EXPECT_EQ(index.history.at(0).digests,
            (std::vector<std::string>{old.content_digest, index.content_digest}));
  EXPECT_FALSE(Contains(core::ReadWholeFile(set.path() / "index.json"), "user7"));
  EXPECT_FALSE(Contains(core::ReadWholeFile(set.path() / "quarantine.jsonl"), "not json"));
}

TEST(Forget, LeavesNoKeyOfTheUserInAnyShard) {
  const UserSet set;
  const uint64_t hash = HashOfUser(ReadUserKey(set.path(), ""), "user7");
  const auto found = [&] {
    int64_t count = 0;
    const Dataset dataset = Dataset::Open(set.path());
    for (const char* split : {"train", "validation"}) {
      WalkSplit(dataset, split, [&](const StoredInteractions&, const StoredKeys& keys) {
        count += std::count(keys.user.begin(), keys.user.end(), hash);
      });
    }
    return count;
  };
  EXPECT_EQ(found(), 5);
  Forget(set.path(), "user7", "");
  EXPECT_EQ(found(), 0);
  EXPECT_EQ(Forget(set.path(), "user7", "").interactions, 0);
  EXPECT_EQ(ReadIndex(set.path()).history.size(), 2u);
}

TEST(Forget, SamplesKeepTheirNumbersAndTheBlanksWeighNothing) {
  const UserSet set;
  const Batch before = Samples(set.path(), 1);
  Forget(set.path(), "user7", "");
  const Batch after = Samples(set.path(), 1);
  EXPECT_EQ(after.span_start, before.span_start);
  EXPECT_EQ(after.samples, before.samples);
  int64_t blanked = 0;
  for (size_t t = 0; t < before.tokens.size(); ++t) {
    if (after.targets[t] == before.targets[t] && after.tokens[t] == before.tokens[t]) {
      if (after.weights[t] != before.weights[t]) {
        EXPECT_EQ(after.weights[t], 0.0f);
      }
      continue;
    }
    ++blanked;
    EXPECT_EQ(after.weights[t], 0.0f);
  }
  EXPECT_GT(blanked, 10);
}

TEST(Forget, AKillBeforeTheIndexChangesNothingAndTheNextOneCleansUp) {
  const UserSet set;
  const std::vector<std::string> before = Texts(set.path());
  for (const char* point : {"forget.before_index:kill", "forget.after_index:kill"}) {
    const pid_t child = fork();
    if (child == 0) {
      setenv("MOAT_FAULT", point, 1);
      Forget(set.path(), "user7", "");
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(Verify(set.path()).interactions, 120);
    EXPECT_EQ(Texts(set.path()) == before, std::string(point) == "forget.before_index:kill");
  }
  const size_t named = ReadIndex(set.path()).shards.size();
  EXPECT_GT(FilesIn(set.path() / "shards").size(), named);  // the old files are still there
  const ForgetReport report = Forget(set.path(), "user7", "");
  EXPECT_EQ(report.interactions, 0);
  EXPECT_GT(report.files_removed, 0);
  EXPECT_EQ(FilesIn(set.path() / "shards").size(), named);
}

TEST(Forget, ReadersThatHaveTheOldFilesOpenGoOn) {
  const UserSet set;
  const Dataset dataset = Dataset::Open(set.path());
  const SampleStream stream(dataset, "train", StreamOptions{{64}, 3});
  Forget(set.path(), "user7", "");
  std::vector<uint64_t> numbers(static_cast<size_t>(stream.samples_per_epoch()));
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = i;
  EXPECT_NO_THROW(stream.Read(numbers));
}

TEST(Forget, RefusesWhatItCannotDoAndChangesNothing) {
  const UserSet set;
  const auto error_of = [&](const std::string& user, const std::string& key) {
    return ErrorOf(core::ExitCode::kConfig, [&] { Forget(set.path(), user, key); });
  };
  EXPECT_TRUE(Contains(error_of("", ""), "--user=ID is missing"));
  EXPECT_TRUE(Contains(error_of("user7", "nowhere"), "no such file"));
  WriteText(set.root() / "short.key", "short");
  EXPECT_TRUE(
      Contains(error_of("user7", (set.root() / "short.key").string()), "expected 32 bytes"));
  {
    const DatasetLock other(set.path());
    EXPECT_TRUE(Contains(error_of("user7", ""), "being changed"));
  }
  fs::remove(set.path() / "user.key");
  EXPECT_TRUE(Contains(error_of("user7", ""), "user.key is absent"));
  EXPECT_EQ(ReadIndex(set.path()).history.size(), 1u);
  EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kConfig, [&] { Dataset::Open(set.path(), 2); }),
                       "no version 2"));
}

TEST(DatasetVersions, AnIndexFromBeforeThereWereVersionsIsVersionOne) {
  const UserSet set;
  Index index = ReadIndex(set.path());
  index.history.clear();
  WriteIndex(set.path(), index);
  const Dataset dataset = Dataset::Open(set.path());
  EXPECT_EQ(dataset.version(), 1);
  EXPECT_EQ(dataset.content_digest(), index.content_digest);
  EXPECT_EQ(Forget(set.path(), "user7", "").version, 2);
  EXPECT_TRUE(Dataset::Open(set.path(), 1).HeldBeforeForgetting(index.content_digest));
  EXPECT_FALSE(Dataset::Open(set.path(), 2).HeldBeforeForgetting(index.content_digest));
}

}  // namespace
}  // namespace moat::data
