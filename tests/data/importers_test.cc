// The importers of git history and file trees; tests/data/formats has those of records.
#include <gtest/gtest.h>

#include <algorithm>

#include "data/child_process.h"
#include "data/file_tree.h"
#include "data/git_history.h"
#include "data/import_plan.h"
#include "tests/data/fixture.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;

void Git(const fs::path& root, const std::vector<std::string>& arguments) {
  std::vector<std::string> argv = {"git",
                                   "-C",
                                   root.string(),
                                   "-c",
                                   "user.name=Ada",
                                   "-c",
                                   "user.email=ada@example.com",
                                   "-c",
                                   "commit.gpgsign=false"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  int status = 0;
  std::string errors;
  OutputOf(argv, &status, &errors);
  ASSERT_EQ(status, 0) << errors;
}

// A repository whose messages and contents imitate the log's own structure.
void MakeRepository(const fs::path& root) {
  fs::create_directories(root);
  Git(root, {"init", "-q", "-b", "main"});
  WriteText(root / "odd \"name\"\twith tab.txt", "one\ntwo\n");
  WriteText(root / "plain.txt", "a\nb\nc\nno line feed");
  WriteText(root / "picture.bin", std::string("\0\1\2", 3));
  Git(root, {"add", "-A"});
  Git(root,
      {"commit", "-q", "-m", "first\n\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-x"});
  WriteText(root / "plain.txt", "a\n-- minus\n++ plus\n@@ -1,1 +1,1 @@\ndiff --git a/y b/y\n\n");
  Git(root, {"commit", "-q", "-a", "-m", "second"});
  Git(root, {"mv", "plain.txt", "moved.txt"});
  Git(root, {"commit", "-q", "-m", "a rename without a change"});
  Git(root, {"checkout", "-q", "-b", "side", "HEAD~1"});
  WriteText(root / "side.txt", "side\n");
  Git(root, {"add", "-A"});
  Git(root, {"commit", "-q", "-m", "on the side"});
  Git(root, {"checkout", "-q", "main"});
  Git(root, {"merge", "-q", "--no-ff", "-m", "merge", "side"});
}

TEST(PlanImport, WarnsOfRecordsThatAreReadAsTextButInARepository) {
  const testing::TemporaryDirectory directory;
  const auto said = [&](const fs::path& folder) {
    fs::create_directories(folder);
    WriteText(folder / "a.jsonl", "{}\n");
    WriteText(folder / "b.txt", "b\n");
    configs::ImportConfig config;
    config.in = {folder};
    ::testing::internal::CaptureStderr();
    PlanImport(config, {});
    return ::testing::internal::GetCapturedStderr();
  };
  const std::string plain = said(directory / "plain");
  EXPECT_NE(plain.find("warning: "), std::string::npos) << plain;
  EXPECT_NE(plain.find("(1, the first is a.jsonl) are read as text"), std::string::npos) << plain;
  fs::create_directories(directory / "repository");
  Git(directory / "repository", {"init", "-q"});
  const std::string repository = said(directory / "repository");
  EXPECT_NE(repository.find("a.jsonl"), std::string::npos) << repository;
  EXPECT_EQ(repository.find("warning: "), std::string::npos) << repository;
}

TEST(GitHistory, OneInteractionPerCommitAndFile) {
  const testing::TemporaryDirectory directory;
  MakeRepository(directory / "r");
  KeepingSink sink;
  const auto given =
      ImportGitHistory(directory / "r", ListTree(directory / "r", true, {}), 1 << 20, &sink);
  ASSERT_EQ(sink.interactions.size(), 3u);
  // The order within a commit is git's: "odd", then the picture, then plain.txt.
  EXPECT_EQ(sink.counts,
            (std::vector<std::string>{
                "binary changes skipped",
                "creations of files left out: their text is another by now, or gone"}));
  EXPECT_EQ(given, (std::set<std::string>{"odd \"name\"\twith tab.txt", "side.txt"}));
  const Interaction& odd = sink.interactions[0];
  EXPECT_EQ(odd.path, "odd \"name\"\twith tab.txt");
  EXPECT_EQ(odd.user, "ada@example.com");
  EXPECT_GT(odd.time_micros, 1'500'000'000'000'000);
  EXPECT_EQ(odd.segments[1].text, "first\n\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-x");
  EXPECT_EQ(odd.segments[2], (Segment{Role::kText, 1, "one\ntwo\n"}));
  const Interaction& second = sink.interactions[1];
  EXPECT_EQ(second.segments[2].role, Role::kAssistant);
  EXPECT_EQ(second.path, "plain.txt");
  EXPECT_EQ(second.segments[2].text,
            "@@ -1,4 +1,6 @@\n a\n-b\n-c\n-no line feed\n\\ No newline at end of file\n"
            "+-- minus\n+++ plus\n+@@ -1,1 +1,1 @@\n+diff --git a/y b/y\n+\n");
  EXPECT_EQ(sink.interactions[2].path, "side.txt");
}

// What of each file is read from the history, and what from the work tree.
TEST(GitHistory, ATextIsReadOnceFromTheHistoryOrFromTheWorkTree) {
  const testing::TemporaryDirectory directory;
  const fs::path root = directory / "r";
  fs::create_directories(root);
  Git(root, {"init", "-q"});
  const std::string awkward = "+plus\n\\ No newline at end of file\n\n-minus\nlast";
  for (const char* name : {"kept", "changed", "gone", "again", "touched"}) {
    WriteText(root / name, name + ("\n" + awkward));
  }
  Git(root, {"add", "-A"});
  Git(root, {"commit", "-q", "-m", "first"});
  WriteText(root / "changed", "changed now\n");
  fs::remove(root / "gone");
  fs::remove(root / "again");
  Git(root, {"commit", "-q", "-a", "-m", "second"});
  WriteText(root / "again", "again\n" + awkward);
  Git(root, {"add", "-A"});
  Git(root, {"commit", "-q", "-m", "third"});
  WriteText(root / "touched", "touched and not committed\n");
  configs::ImportConfig config = ImportOf(root, directory / "unused");
  KeepingSink sink;
  const ImportPlan plan = PlanImport(config, {});
  ReadSource(plan.sources[0], config, &sink);
  std::vector<std::string> found;
  for (const Interaction& interaction : sink.interactions) {
    const Segment& last = interaction.segments.back();
    found.push_back(interaction.path + " " + Name(last.role) + " of " +
                    std::to_string(interaction.segments.size()));
    if (last.role == Role::kText && interaction.segments.size() == 3) {
      EXPECT_EQ(last.text, interaction.path + "\n" + awkward);
    }
  }
  EXPECT_EQ(found,
            (std::vector<std::string>{"again text of 3", "kept text of 3", "changed assistant of 3",
                                      "changed text of 2", "touched text of 2"}));
  EXPECT_EQ(std::count(sink.counts.begin(), sink.counts.end(), "deletions of files left out"), 2);
  EXPECT_EQ(sink.counts.size(), 2u + 4u);  // creations: changed, gone, touched, and again once more
  // Without the history the work tree gives everything.
  config.history = false;
  KeepingSink files;
  ReadSource(PlanImport(config, {}).sources[0], config, &files);
  EXPECT_EQ(files.interactions.size(), 4u);
}

TEST(GitHistory, LargeChangesAreCounted) {
  const testing::TemporaryDirectory directory;
  fs::create_directories(directory / "r");
  Git(directory / "r", {"init", "-q"});
  WriteText(directory / "r/long.txt", std::string(5000, 'x') + "\n");
  WriteText(directory / "r/short.txt", "x\n");
  Git(directory / "r", {"add", "-A"});
  Git(directory / "r", {"commit", "-q", "-m", "both"});
  KeepingSink sink;
  ImportGitHistory(directory / "r", ListTree(directory / "r", true, {}), 1000, &sink);
  ASSERT_EQ(sink.interactions.size(), 1u);
  EXPECT_EQ(sink.interactions[0].path, "short.txt");
  EXPECT_EQ(sink.counts.size(), 1u);
}

TEST(FileTree, SkipsWhatIsNotText) {
  const testing::TemporaryDirectory directory;
  WriteText(directory / "t/b.txt", "b");
  WriteText(directory / "t/a/deep.txt", "deep");
  WriteText(directory / "t/empty.txt", "");
  WriteText(directory / "t/binary", std::string("x\0y", 3));
  WriteText(directory / "t/large", std::string(100, 'x'));
  WriteText(directory / "t/.git/config", "secret");
  WriteText(directory / "t/out/index.json", "out");
  fs::create_symlink("/etc/passwd", directory / "t/link");
  KeepingSink sink;
  const fs::path root = directory / "t";
  ImportTree(root, ListTree(root, false, {root / "out"}), 50, &sink);
  ASSERT_EQ(sink.interactions.size(), 2u);
  EXPECT_EQ(sink.interactions[0].path, "a/deep.txt");
  EXPECT_EQ(sink.interactions[1].segments,
            (std::vector<Segment>{{Role::kSystem, 1, "b.txt"}, {Role::kText, 1, "b"}}));
  EXPECT_EQ(sink.counts.size(), 3u);
}

TEST(FileTree, WorkTreeListsWhatGitWouldTrack) {
  const testing::TemporaryDirectory directory;
  const fs::path root = directory / "r";
  fs::create_directories(root);
  EXPECT_FALSE(InspectGit(root).inside);
  Git(root, {"init", "-q"});
  WriteText(root / ".gitignore", "build/\n");
  WriteText(root / "build/out.txt", "built");
  WriteText(root / "new.txt", "new");
  const GitWorkTree tree = InspectGit(root);
  EXPECT_TRUE(tree.inside);
  EXPECT_EQ(tree.head, "");
  const std::vector<TreeFile> files = ListTree(root, true, {});
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[1].path, "new.txt");
}

TEST(ChildProcess, ReportsStatusErrorsAndAbsence) {
  int status = 0;
  std::string errors;
  EXPECT_EQ(OutputOf({"sh", "-c", "echo out; echo err >&2; exit 3"}, &status, &errors), "out\n");
  EXPECT_EQ(status, 3);
  EXPECT_EQ(errors, "err");
  ErrorOf(core::ExitCode::kConfig, [] { ChildProcess child({"/nowhere/at/all"}); });
}

}  // namespace
}  // namespace moat::data
