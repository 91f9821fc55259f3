// Bringing equal hashes together in little memory, and the duplicates found that way.
#include <algorithm>
#include <map>
#include <random>

#include "data/exact_duplicates.h"
#include "data/external_sort.h"
#include "data/index.h"
#include "data/near_duplicates.h"
#include "tests/data/fixture.h"

namespace moat::data {
namespace {

TEST(ExternalSort, GivesWhatSortingInMemoryGives) {
  const testing::TemporaryDirectory directory;
  for (const int records : {0, 1, 2, 31, 32, 33, 64, 5000}) {
    for (const size_t memory : {size_t{1}, size_t{1024}, size_t{1} << 20}) {
      std::mt19937_64 random(static_cast<uint64_t>(records));
      ExternalSort<4> sort(directory / "sort", memory);
      std::vector<ExternalSort<4>::Record> expected;
      for (int i = 0; i < records; ++i) {
        expected.push_back({random() % 50, random(), 7, random()});  // few keys, so many equal ones
        sort.Add(expected.back());
        EXPECT_LE(sort.held_bytes(), std::max<size_t>(memory, sizeof expected[0]));
      }
      sort.Close();
      EXPECT_EQ(sort.size(), records);
      EXPECT_EQ(sort.runs() > 0, static_cast<size_t>(records) * 32 > memory && records > 1);
      std::sort(expected.begin(), expected.end());
      for (int repeat = 0; repeat < 2; ++repeat) {
        ExternalSort<4>::Reader reader(sort);
        ExternalSort<4>::Record record;
        for (const auto& one : expected) {
          ASSERT_TRUE(reader.Next(&record));
          EXPECT_EQ(record, one);
        }
        EXPECT_FALSE(reader.Next(&record));
      }
    }
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

// What an import sets aside for its sorts is the same for ten times the records.
TEST(ExternalSort, HoldsNoMoreForMoreRecords) {
  const testing::TemporaryDirectory directory;
  std::vector<size_t> held;
  for (const uint64_t records : {20000u, 200000u}) {
    ExternalSort<2> sort(directory / "sort", 64 << 10);
    for (uint64_t i = 0; i < records; ++i) sort.Add({i * 0x9e3779b97f4a7c15u, i});
    held.push_back(sort.held_bytes());
  }
  EXPECT_EQ(held[0], held[1]);
  EXPECT_LE(held[1], size_t{64} << 10);
}

Interaction Said(const std::string& text, const std::string& user = "", float weight = 1) {
  Interaction interaction;
  interaction.user = user;
  interaction.segments = {{Role::kUser, 1, text}, {Role::kAssistant, weight, "answer"}};
  return interaction;
}

std::vector<bool> ExactDuplicatesOf(const std::vector<Interaction>& interactions, size_t memory) {
  const testing::TemporaryDirectory directory;
  ExactDuplicates duplicates(directory.path(), memory);
  for (const Interaction& interaction : interactions) duplicates.Add(interaction);
  std::vector<bool> left_out(interactions.size());
  const int64_t marked = duplicates.Mark(&left_out);
  EXPECT_EQ(marked, std::count(left_out.begin(), left_out.end(), true));
  return left_out;
}

TEST(ExactDuplicates, OfEqualContentsTheFirstStays) {
  std::vector<Interaction> interactions = {Said("a"),        Said("b", "ada"), Said("a", "bob"),
                                           Said("a", "", 0), Said("b"),        Said("a")};
  interactions[5].id = "another";
  interactions[5].request = "another";
  interactions[5].time_micros = 5;
  interactions.push_back(Said("a"));
  interactions.back().segments[0].role = Role::kSystem;
  interactions.push_back(Said("aans"));  // the same bytes in a row, cut elsewhere
  interactions.back().segments[1].text = "wer";
  for (const size_t memory : {1, 100, 1 << 20}) {
    EXPECT_EQ(ExactDuplicatesOf(interactions, memory),
              (std::vector<bool>{false, false, true, false, true, true, false, false}));
  }
}

TEST(ExactDuplicates, AgreeWithAMap) {
  std::mt19937_64 random(1);
  std::vector<Interaction> interactions;
  std::vector<bool> expected;
  std::map<std::string, int> seen;
  for (int i = 0; i < 3000; ++i) {
    const std::string text = std::to_string(random() % 1500);
    interactions.push_back(Said(text, "user" + std::to_string(i)));
    expected.push_back(seen[text]++ > 0);
  }
  EXPECT_EQ(ExactDuplicatesOf(interactions, 500), expected);
}

TEST(Import, LeavesOutExactDuplicates) {
  const testing::TemporaryDirectory directory;
  std::string lines = CoffeeLines(50);
  for (int i = 0; i < 50; i += 2) {
    std::string again = CoffeeLine(i);
    again.replace(again.find("dlg-"), 4, "copy-");
    lines += again;
  }
  WriteText(directory / "in.jsonl", lines);
  configs::ImportConfig config = ImportOf(directory / "in.jsonl", directory / "off");
  const ImportReport off = Import(config);
  EXPECT_EQ(off.train.interactions + off.validation.interactions, 75);
  WriteText(directory / "first.jsonl", CoffeeLines(50));
  const ImportReport first = Import(ImportOf(directory / "first.jsonl", directory / "first"));
  config.dedup = "exact";
  for (const int threads : {1, 3}) {
    config.threads = threads;
    config.out = (directory / ("exact" + std::to_string(threads))).string();
    const ImportReport exact = Import(config);
    EXPECT_EQ(exact.train.interactions + exact.validation.interactions, 50);
    EXPECT_EQ(exact.counts.at("interactions read"), 75);
    EXPECT_EQ(exact.counts.at("duplicates left out"), 25);
    EXPECT_EQ(exact.content_digest, first.content_digest);  // as if they had never been there
    EXPECT_EQ(ReadIndex(config.out).provenance.counts.at("duplicates left out"), 25);
  }
}

// `words` words drawn from `vocabulary`, with those at `changed` replaced.
std::string RandomWords(uint64_t seed, int words, const std::vector<int>& changed = {},
                        int vocabulary = 5000) {
  std::mt19937_64 random(seed);
  std::string text;
  for (int i = 0; i < words; ++i) {
    const uint64_t word = random() % static_cast<uint64_t>(vocabulary);
    const bool change = std::find(changed.begin(), changed.end(), i) != changed.end();
    text += (change ? "changed" : "word") + std::to_string(word) + (i % 9 == 8 ? ". " : " ");
  }
  return text;
}

std::vector<bool> NearDuplicatesOf(const std::vector<Interaction>& interactions, double threshold,
                                   size_t memory = 1 << 20) {
  const testing::TemporaryDirectory directory;
  std::vector<bool> left_out(interactions.size());
  {
    NearDuplicates duplicates(directory.path(), threshold, memory);
    for (size_t i = 0; i < interactions.size(); ++i) {
      duplicates.Add(i, SketchOf(interactions[i]));
    }
    const int64_t marked = duplicates.Mark(&left_out);
    EXPECT_EQ(marked, std::count(left_out.begin(), left_out.end(), true));
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
  return left_out;
}

double LikenessOf(const std::string& a, const std::string& b) {
  return Likeness(SketchOf(Said(a)).smallest, SketchOf(Said(b)).smallest);
}

TEST(Sketch, LikenessIsTheShareOfShinglesInCommon) {
  // With the two roles and "answer", 6 words are 9 tokens and 5 shingles; another last word
  // changes 3 of them, a comma between the first two adds one and changes 2.
  EXPECT_DOUBLE_EQ(LikenessOf("a b c d e f", "a b c d e f"), 1);
  EXPECT_DOUBLE_EQ(LikenessOf("a b c d e f", " a\tb  c d e f\n"), 1);
  EXPECT_DOUBLE_EQ(LikenessOf("a b c d e f", "a b c d e g"), 2.0 / 8);
  EXPECT_DOUBLE_EQ(LikenessOf("a b c d e f", "a,b c d e f"), 3.0 / 8);
  EXPECT_DOUBLE_EQ(LikenessOf("", "a"), 0);
  // Characters of other scripts are tokens, with no spaces needed between them.
  EXPECT_DOUBLE_EQ(LikenessOf("温かいほうじ茶", "温かいほうじ水"), 3.0 / 9);
  EXPECT_LT(LikenessOf(RandomWords(1, 400), RandomWords(2, 400)), 0.05);
  Interaction other_role = Said("a b c");
  other_role.segments[0].role = Role::kTool;
  EXPECT_LT(Likeness(SketchOf(Said("a b c")).smallest, SketchOf(other_role).smallest), 1);
}

TEST(Sketch, EstimatesWhereTextsAreLong) {
  std::vector<int> tenths;  // every tenth word of 4000: five shingles of ten
  for (int i = 0; i < 4000; i += 10) tenths.push_back(i);
  const Sketch text = SketchOf(Said(RandomWords(1, 4000)));
  const Sketch changed = SketchOf(Said(RandomWords(1, 4000, tenths)));
  EXPECT_EQ(text.smallest.size(), kSmallest);
  EXPECT_TRUE(std::is_sorted(text.smallest.begin(), text.smallest.end()));
  EXPECT_NEAR(Likeness(text.smallest, changed.smallest), 0.37, 0.08);
  double equal = 0;
  for (size_t i = 0; i < kMinHashes; ++i) equal += text.minima[i] == changed.minima[i] ? 1 : 0;
  EXPECT_NEAR(equal / kMinHashes, 0.37, 0.12);
}

TEST(NearDuplicates, RowsFollowTheThreshold) {
  EXPECT_EQ(RowsPerBand(0.5), 3u);
  EXPECT_EQ(RowsPerBand(0.8), 6u);
  EXPECT_EQ(RowsPerBand(0.9), 10u);
  EXPECT_EQ(RowsPerBand(1), 16u);
}

TEST(NearDuplicates, FindsThePlantedOnesAndNothingElse) {
  std::vector<Interaction> interactions;
  std::vector<bool> expected;
  for (uint64_t i = 0; i < 300; ++i) {
    interactions.push_back(Said(RandomWords(i, 120)));
    expected.push_back(false);
    if (i % 3 == 0) {  // one word of an earlier one is another
      interactions.push_back(Said(RandomWords(i / 2, 120, {static_cast<int>(i % 120)})));
      expected.push_back(true);
    }
    if (i % 3 == 1) {  // the same form letter, of which every fourth word differs
      std::vector<int> fourths;
      for (int word = 0; word < 120; word += 4) fourths.push_back(word);
      std::string text = RandomWords(7, 120, fourths);
      for (size_t at = 0; (at = text.find("changed", at)) != std::string::npos;) {
        text.replace(at, 7, "n" + std::to_string(i) + "x");
      }
      interactions.push_back(Said(text));
      expected.push_back(false);
    }
  }
  for (const size_t memory : {size_t{1000}, size_t{1} << 20}) {
    EXPECT_EQ(NearDuplicatesOf(interactions, 0.8, memory), expected);
  }
}

TEST(NearDuplicates, OnlyWhatStaysLeavesOthersOut) {
  // Each differs a little from the one before: the third resembles the second, which is left out,
  // more than the first.
  std::vector<std::vector<int>> changed = {{}};
  for (int step = 1; step < 4; ++step) {
    changed.push_back(changed.back());
    for (int k = 0; k < 4; ++k) changed.back().push_back(step * 100 + k * 20);
  }
  std::vector<Interaction> interactions;
  for (const auto& words : changed) interactions.push_back(Said(RandomWords(1, 400, words)));
  EXPECT_GE(Likeness(SketchOf(interactions[1]).smallest, SketchOf(interactions[2]).smallest), 0.85);
  EXPECT_LT(Likeness(SketchOf(interactions[0]).smallest, SketchOf(interactions[2]).smallest), 0.85);
  EXPECT_EQ(NearDuplicatesOf(interactions, 0.85), (std::vector<bool>{false, true, false, true}));
}

TEST(Import, LeavesOutNearDuplicatesForAnyThreads) {
  const testing::TemporaryDirectory directory;
  const auto line = [](int id, const std::string& text) {
    return R"({"id": )" + std::to_string(id) +
           R"(, "messages": [{"role": "user", "content": "ask"}, )" +
           R"({"role": "assistant", "content": ")" + text + "\"}]}\n";
  };
  std::string lines, first;
  for (int i = 0; i < 60; ++i) first += line(i, RandomWords(static_cast<uint64_t>(i), 150));
  lines = first + line(7, RandomWords(7, 150)) + line(60, RandomWords(7, 150, {70})) +
          line(61, RandomWords(9, 150, {3}));
  WriteText(directory / "in.jsonl", lines);
  WriteText(directory / "first.jsonl", first);
  const std::string digest =
      Import(ImportOf(directory / "first.jsonl", directory / "first")).content_digest;
  configs::ImportConfig config = ImportOf(directory / "in.jsonl", directory / "near");
  config.dedup = "near";
  for (const int threads : {1, 3}) {
    config.threads = threads;
    config.out = (directory / ("near" + std::to_string(threads))).string();
    const ImportReport report = Import(config);
    EXPECT_EQ(report.counts.at("interactions read"), 63);
    EXPECT_EQ(report.counts.at("duplicates left out"), 1);
    EXPECT_EQ(report.counts.at("near duplicates left out"), 2);
    EXPECT_EQ(report.content_digest, digest);
  }
}

TEST(ImportConfig, KnowsTheWordsOfDedupAndSplit) {
  const auto error_of = [](const auto& change) {
    configs::ImportConfig config = ImportOf("in", "out");
    change(&config);
    return ErrorOf(core::ExitCode::kConfig, [&] { configs::Validate(config); });
  };
  EXPECT_EQ(error_of([](auto* config) { config->dedup = "fuzzy"; }),
            "--dedup=fuzzy: expected off, exact or near");
  EXPECT_EQ(error_of([](auto* config) { config->split = "users"; }),
            "--split=users: expected auto, user, time, path or id");
  EXPECT_TRUE(Contains(error_of([](auto* config) { config->test_fraction = 0.9; }),
                       "--test_fraction=0.9: expected"));
  EXPECT_TRUE(Contains(error_of([](auto* config) { config->near_threshold = 0.1; }),
                       "--near_threshold=0.1: expected"));
}

}  // namespace
}  // namespace moat::data
