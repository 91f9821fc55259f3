// Imports that are killed at any moment: the next one goes on, and its shards are byte for byte
// those of an import that nobody disturbed.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <optional>
#include <thread>

#include "core/clock.h"
#include "core/digest.h"
#include "core/rng.h"
#include "data/dataset_lock.h"
#include "data/import.h"
#include "data/index.h"
#include "data/verify.h"
#include "tests/data/fixture.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;

ino_t InodeOf(const fs::path& file) {
  struct stat status {};
  EXPECT_EQ(stat(file.c_str(), &status), 0) << file;
  return status.st_ino;
}

class ImportResumeTest : public ::testing::Test {
 protected:
  ImportResumeTest() {
    WriteText(directory_ / "in.jsonl", "not json\n" + CoffeeLines(1500));
    WriteText(directory_ / "key", std::string(32, 'k'));
  }

  configs::ImportConfig ConfigFor(const std::string& out) const {
    configs::ImportConfig config = ImportOf(directory_ / "in.jsonl", directory_ / out);
    config.user_key = (directory_ / "key").string();
    config.shard_tokens = 6000;
    return config;
  }

  // The digest of every file of a data set but the index, which tells the time; and the index's
  // digest.
  std::map<std::string, std::string> Contents(const std::string& out) const {
    std::map<std::string, std::string> contents;
    for (const auto& entry : fs::recursive_directory_iterator(directory_ / out)) {
      if (!entry.is_regular_file() || entry.path().filename() == kIndexFile) continue;
      contents[fs::relative(entry.path(), directory_ / out)] =
          core::Hex(core::Sha256Of(core::ReadWholeFile(entry.path())));
    }
    contents["content digest"] = ReadIndex(directory_ / out).content_digest;
    for (const auto& [what, count] : ReadIndex(directory_ / out).provenance.counts) {
      contents["count of " + what] = std::to_string(count);
    }
    return contents;
  }

  // The directory that is being built for `out`; nullopt: none.
  std::optional<fs::path> Building(const std::string& out) const {
    for (const auto& entry : fs::directory_iterator(directory_.path())) {
      if (entry.path().filename().string().starts_with("." + out + ".importing-"))
        return entry.path();
    }
    return std::nullopt;
  }

  int64_t BytesBuilt(const std::string& out) const {
    const auto building = Building(out);
    if (!building) return 0;
    int64_t bytes = 0;
    std::error_code gone;
    for (fs::recursive_directory_iterator at(*building, gone), end; !gone && at != end;
         at.increment(gone)) {
      const auto size = fs::file_size(at->path(), gone);
      if (!gone) bytes += static_cast<int64_t>(size);
      gone.clear();
    }
    return bytes;
  }

  pid_t StartImport(const std::string& out, const char* fault = nullptr) const {
    const pid_t child = fork();
    if (child != 0) return child;
    if (fault != nullptr) setenv("MOAT_FAULT", fault, 1);
    try {
      Import(ConfigFor(out));
    } catch (...) {
      _exit(1);
    }
    _exit(0);
  }

  // A second name keeps the inode from being given to another file when this one is removed.
  ino_t PinnedInodeOf(const fs::path& file) {
    fs::create_hard_link(file, directory_ / ("pin" + std::to_string(pins_++)).c_str());
    return InodeOf(file);
  }

  testing::TemporaryDirectory directory_;
  int pins_ = 0;
};

int StatusOf(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

TEST_F(ImportResumeTest, AnyNumberOfThreadsWritesTheSameBytes) {
  Import(ConfigFor("two"));
  const auto expected = Contents("two");
  EXPECT_GT(expected.size(), 10u);
  for (const int threads : {1, 3, 4}) {
    configs::ImportConfig config = ConfigFor("other" + std::to_string(threads));
    config.threads = threads;
    Import(config);
    EXPECT_EQ(Contents("other" + std::to_string(threads)), expected) << threads << " threads";
  }
}

TEST_F(ImportResumeTest, KilledAtAnyPointOfTheProtocolItGoesOnWhereItWas) {
  Import(ConfigFor("whole"));
  const auto expected = Contents("whole");
  for (const char* fault :
       {"import.before_state:kill", "import.after_state:kill", "import.sealed:kill",
        "import.journalled:kill", "import.before_commit:kill", "import.cleaned:kill"}) {
    ASSERT_TRUE(WIFSIGNALED(StatusOf(StartImport("set", fault)))) << fault;
    EXPECT_FALSE(fs::exists(directory_ / "set")) << fault;
    ASSERT_TRUE(Building("set")) << fault;
    Import(ConfigFor("set"));
    EXPECT_EQ(Contents("set"), expected) << fault;
    EXPECT_FALSE(Building("set")) << fault;
    fs::remove_all(directory_ / "set");
  }
}

TEST_F(ImportResumeTest, KilledAtTenMomentsItEndsWithTheBytesOfAnUndisturbedImport) {
  Import(ConfigFor("whole"));
  const auto expected = Contents("whole");
  int64_t total = 0;
  for (const auto& entry : fs::recursive_directory_iterator(directory_ / "whole")) {
    if (entry.is_regular_file()) total += static_cast<int64_t>(entry.file_size());
  }
  total += static_cast<int64_t>(fs::file_size(directory_ / "in.jsonl")) / 2;  // the spool, about
  int killed = 0;
  for (uint64_t trial = 0; trial < 10; ++trial) {
    const auto until =
        static_cast<int64_t>(core::RandomUniform(17, trial) * static_cast<float>(total));
    const pid_t child = StartImport("set");
    const double start = core::MonotonicSeconds();
    while (BytesBuilt("set") < until && core::MonotonicSeconds() - start < 20 &&
           !fs::exists(directory_ / "set")) {
      std::this_thread::yield();
    }
    kill(child, SIGKILL);
    killed += WIFSIGNALED(StatusOf(child)) ? 1 : 0;
    Import(ConfigFor("set"));
    EXPECT_EQ(Contents("set"), expected) << "killed at " << until << " of " << total << " bytes";
    fs::remove_all(directory_ / "set");
  }
  EXPECT_GE(killed, 5);
}

TEST_F(ImportResumeTest, SealedShardsAreNotWrittenAgainUnlessSomebodyTouchedThem) {
  for (const bool touched : {false, true}) {
    ASSERT_TRUE(WIFSIGNALED(StatusOf(StartImport("set", "import.journalled:kill"))));
    const fs::path shard = *Building("set") / "shards/train-00000.h5";
    const auto inode = InodeOf(shard);
    if (touched) fs::resize_file(shard, fs::file_size(shard) - 1);
    Import(ConfigFor("set"));
    EXPECT_EQ(InodeOf(directory_ / "set/shards/train-00000.h5") == inode, !touched);
    EXPECT_EQ(Verify(directory_ / "set").interactions, 1500);
    fs::remove_all(directory_ / "set");
  }
}

TEST_F(ImportResumeTest, KilledWithEverythingWrittenItWritesNothingAgain) {
  for (const char* fault : {"import.before_commit:kill", "import.cleaned:kill"}) {
    ASSERT_TRUE(WIFSIGNALED(StatusOf(StartImport("set", fault)))) << fault;
    const fs::path building = *Building("set");
    const ino_t shard = PinnedInodeOf(building / "shards/train-00000.h5");
    const ino_t index = PinnedInodeOf(building / kIndexFile);
    const ImportReport report = Import(ConfigFor("set"));
    EXPECT_EQ(InodeOf(directory_ / "set/shards/train-00000.h5"), shard) << fault;
    EXPECT_EQ(InodeOf(directory_ / "set" / kIndexFile), index) << fault;
    EXPECT_EQ(report.records, 1501) << fault;
    EXPECT_EQ(report.quarantined, 1) << fault;
    fs::remove_all(directory_ / "set");
  }
}

TEST_F(ImportResumeTest, WhatAnotherVersionLeftIsNotRead) {
  ASSERT_TRUE(WIFSIGNALED(StatusOf(StartImport("set", "import.journalled:kill"))));
  const fs::path state = *Building("set") / "import.json";
  std::string text = core::ReadWholeFile(state);
  const std::string layout = "\"layout\":1";
  ASSERT_NE(text.find(layout), std::string::npos) << text;
  WriteText(state, text.replace(text.find(layout), layout.size(), "\"layout\":0"));
  const ino_t shard = PinnedInodeOf(*Building("set") / "shards/train-00000.h5");
  const ino_t spool = PinnedInodeOf(*Building("set") / "spool");
  ASSERT_TRUE(WIFSIGNALED(StatusOf(StartImport("set", "import.after_state:kill"))));
  EXPECT_NE(InodeOf(*Building("set") / "spool"), spool);
  Import(ConfigFor("set"));
  EXPECT_NE(InodeOf(directory_ / "set/shards/train-00000.h5"), shard);
  EXPECT_EQ(Verify(directory_ / "set").interactions, 1500);
}

TEST_F(ImportResumeTest, AnotherKeyUnderTheSameNameStartsAnew) {
  ASSERT_TRUE(WIFSIGNALED(StatusOf(StartImport("set", "import.journalled:kill"))));
  WriteText(directory_ / "key", std::string(32, 'l'));
  Import(ConfigFor("set"));
  Import(ConfigFor("undisturbed"));
  EXPECT_EQ(Contents("set"), Contents("undisturbed"));
}

TEST_F(ImportResumeTest, OtherFlagsStartAnewAndRemoveWhatIsLeft) {
  ASSERT_TRUE(WIFSIGNALED(StatusOf(StartImport("set", "import.journalled:kill"))));
  const fs::path left = *Building("set");
  configs::ImportConfig config = ConfigFor("set");
  config.seed = 2;
  Import(config);
  EXPECT_FALSE(fs::exists(left));
  EXPECT_EQ(Verify(directory_ / "set").interactions, 1500);
}

TEST_F(ImportResumeTest, TwoImportsOfTheSameDoNotMeet) {
  ASSERT_TRUE(WIFSIGNALED(StatusOf(StartImport("set", "import.journalled:kill"))));
  {
    const DatasetLock other(*Building("set"));
    const std::string error = ErrorOf(core::ExitCode::kConfig, [&] { Import(ConfigFor("set")); });
    EXPECT_TRUE(Contains(error, "being changed by another")) << error;
    EXPECT_TRUE(Building("set"));
  }
  Import(ConfigFor("set"));
  EXPECT_EQ(Verify(directory_ / "set").interactions, 1500);
}

}  // namespace
}  // namespace moat::data
