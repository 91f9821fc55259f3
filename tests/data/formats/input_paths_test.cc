// What --in may name: files by their names, globs, directories, and the imports that come of it.
#include "data/formats/input_paths.h"

#include <gtest/gtest.h>

#include "data/formats/file_kind.h"
#include "data/import_plan.h"
#include "tests/data/formats/compressed.h"
#include "tests/data/formats/fixture.h"

namespace moat::data::formats {
namespace {

namespace fs = std::filesystem;

TEST(FileKind, IsToldByTheName) {
  const std::pair<const char*, FileKind> cases[] = {
      {"a.jsonl", FileKind::kJson},     {"a.json", FileKind::kJson},
      {"a.ndjson.gz", FileKind::kJson}, {"dir.csv/a.chat.jsonl.zst", FileKind::kJson},
      {"a.csv", FileKind::kCsv},        {"a.csv.xz", FileKind::kCsv},
      {"a.tsv", FileKind::kTsv},        {"a.h5", FileKind::kTokens},
      {"a.h5.gz", FileKind::kText},     {"a.txt", FileKind::kText},
      {"a.txt.gz", FileKind::kText},    {"jsonl", FileKind::kText},
      {"a.csv.txt", FileKind::kText}};
  for (const auto& [name, kind] : cases) EXPECT_EQ(KindOf(name, "auto"), kind) << name;
  EXPECT_EQ(KindOf("-", "auto"), FileKind::kJson);
  EXPECT_EQ(KindOf("-", "csv"), FileKind::kCsv);
  EXPECT_EQ(KindOf("a.txt", "chat"), FileKind::kJson);
  EXPECT_EQ(KindOf("a.csv", "prompt"), FileKind::kCsv);
  EXPECT_EQ(KindOf("a.jsonl", "tree"), FileKind::kText);
  EXPECT_EQ(KindOf("a.jsonl", "lines"), FileKind::kLines);
  for (const char* format : {"hdf5", "tree"}) {
    EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kConfig, [&] { KindOf("-", format); }), "--in=-"));
  }
}

TEST(InputPaths, GlobsGiveWhatMatchesSorted) {
  const testing::TemporaryDirectory directory;
  for (const char* name : {"b.jsonl", "a.jsonl", "c.txt", "odd[1].jsonl"}) {
    WriteText(directory / name, "x");
  }
  const auto expand = [&](const std::string& pattern) {
    std::vector<std::string> names;
    for (const std::string& path : ExpandGlob((directory / pattern).string())) {
      names.push_back(fs::path(path).filename());
    }
    return names;
  };
  EXPECT_EQ(expand("[ab].jsonl"), (std::vector<std::string>{"a.jsonl", "b.jsonl"}));
  EXPECT_EQ(expand("?.*").size(), 3u);
  EXPECT_EQ(expand("odd[1].jsonl"), (std::vector<std::string>{"odd[1].jsonl"}));
  EXPECT_TRUE(
      Contains(ErrorOf(core::ExitCode::kConfig, [&] { expand("*.csv"); }), "no file matches it"));
  EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kConfig, [&] { expand("no.csv"); }),
                       "there is no such file"));
}

// The names of the files that the directory gives, or "tree".
std::string RecordsOf(const fs::path& directory, const std::string& format = "auto") {
  const auto files = RecordFilesOf(directory, format, {});
  if (!files) return "tree";
  std::string names;
  for (const fs::path& file : *files) {
    names += (names.empty() ? "" : " ") + file.lexically_relative(directory).string();
  }
  return names;
}

TEST(InputPaths, ADirectoryOfRecordsIsReadAsRecords) {
  const testing::TemporaryDirectory directory;
  const fs::path root = directory / "d";
  fs::create_directories(root);
  EXPECT_EQ(RecordsOf(root), "tree");
  for (const char* name :
       {"b.jsonl", "a.csv.gz", "deep/c.json", "README.md", "LICENSE", ".cache"}) {
    WriteText(root / name, "x");
  }
  EXPECT_EQ(RecordsOf(root), "a.csv.gz b.jsonl deep/c.json");
  EXPECT_EQ(RecordsOf(root, "chat"), "a.csv.gz b.jsonl deep/c.json");
  EXPECT_EQ(RecordsOf(root, "csv"), "a.csv.gz");
  EXPECT_EQ(RecordsOf(root, "tree"), "tree");
  EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kConfig, [&] { RecordsOf(root, "hdf5"); }),
                       "no file in it is one that --format=hdf5 reads"));
  WriteText(root / "notes.txt", "x");
  EXPECT_EQ(RecordsOf(root), "tree");
  EXPECT_EQ(RecordsOf(root, "chat"), "a.csv.gz b.jsonl deep/c.json");
  fs::remove(root / "notes.txt");
  fs::create_directories(root / ".git");
  EXPECT_EQ(RecordsOf(root), "tree");
}

// All of it through an import: counts, order, and what the plan remembers.
TEST(InputPaths, AnImportReadsManyFilesOfManyFormats) {
  const testing::TemporaryDirectory directory;
  WriteText(directory / "d/1.jsonl", CoffeeLines(30));
  WriteText(directory / "d/2.jsonl.zst", Zstandard(CoffeeLines(20) + "noise\n"));
  WriteText(directory / "d/3.csv", "prompt,completion\nq,a\n");
  WriteText(directory / "x.json", R"([{"instruction": "i", "output": "o"}])");
  WriteText(directory / "y.json", R"([{"prompt": "p", "chosen": "c", "rejected": "r"}])");
  configs::ImportConfig config = ImportOf(directory / "d", directory / "set");
  config.in.push_back((directory / "?.json").string());
  config.max_bad_fraction = 0.1;
  const ImportReport report = Import(config);
  EXPECT_EQ(report.records, 30 + 21 + 1 + 1 + 2);
  EXPECT_EQ(report.quarantined, 1);
  EXPECT_EQ(report.train.interactions + report.validation.interactions, 54);
  EXPECT_TRUE(Import(config).already_done);
  config.records.weight_on = "all";
  EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kConfig, [&] { Import(config); }), "--out="));
}

TEST(InputPaths, ATextFileMayBeCompressed) {
  const testing::TemporaryDirectory directory;
  WriteText(directory / "notes.txt.gz", Gzipped("some notes"));
  const configs::ImportConfig config = ImportOf(directory / "notes.txt.gz", directory / "set");
  KeepingSink sink;
  ReadSource(PlanImport(config, {}).sources.at(0), config, &sink);
  EXPECT_EQ(Shorts(sink.interactions),
            (std::vector<std::string>{"system: notes.txt.gz | text: some notes"}));
}

TEST(InputPaths, WhatComesFromStandardInputIsNeverKnownBefore) {
  configs::ImportConfig config = ImportOf("-", "set");
  EXPECT_NE(PlanImport(config, {}).digest, PlanImport(config, {}).digest);
  config.in.push_back("-");
  EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kConfig, [&] { PlanImport(config, {}); }),
                       "more than once"));
}

}  // namespace
}  // namespace moat::data::formats
