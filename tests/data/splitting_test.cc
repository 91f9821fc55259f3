// Splits: nobody and nothing on two sides, by whatever the groups are.
#include "data/splitting.h"

#include <map>
#include <set>

#include "data/dataset_walk.h"
#include "data/index.h"
#include "data/statistics.h"
#include "tests/data/fixture.h"

namespace moat::data {
namespace {

Interaction Dialog(const std::vector<std::string>& texts, const std::string& user = "",
                   int64_t time = 0) {
  Interaction interaction;
  interaction.user = user;
  interaction.time_micros = time;
  for (size_t i = 0; i < texts.size(); ++i) {
    interaction.segments.push_back({i % 2 == 0 ? Role::kUser : Role::kAssistant, 1, texts[i]});
  }
  return interaction;
}

Split SplitOf(const std::vector<Interaction>& interactions, const SplitRequest& request,
              size_t sort_bytes = 1 << 20, const std::vector<bool>& left_out = {}) {
  const testing::TemporaryDirectory directory;
  std::optional<Splitter> splitter(std::in_place, directory.path(), request, sort_bytes);
  for (const Interaction& interaction : interactions) splitter->Add(interaction);
  Split split = splitter->Decide(left_out);
  splitter.reset();
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
  return split;
}

// Which names are on each side.
using Names = std::map<Side, std::set<std::string>>;
Names NamesOf(const Split& split, const std::vector<std::string>& names) {
  Names sides;
  for (size_t i = 0; i < names.size(); ++i) sides[split.SideOf(i)].insert(names[i]);
  return sides;
}

size_t Members(const Names& names) {
  size_t members = 0;
  for (const auto& [side, on_side] : names) members += on_side.size();
  return members;
}

TEST(Splitting, ByUserFromTwentyUsersOn) {
  for (const int users : {19, 20}) {
    std::vector<Interaction> interactions;
    std::vector<std::string> names;
    for (int i = 0; i < users * 5; ++i) {
      names.push_back("user" + std::to_string(i % users));
      interactions.push_back(Dialog({"text " + std::to_string(i)}, names.back()));
    }
    const Split split = SplitOf(interactions, {.validation_fraction = 0.2});
    EXPECT_EQ(split.rule.starts_with("by user"), users == 20) << split.rule;
    const Split asked = SplitOf(interactions, {.by = "user", .validation_fraction = 0.2});
    EXPECT_EQ(asked.rule, "by user (" + std::to_string(users) + " users)");
    Names sides = NamesOf(asked, names);
    EXPECT_EQ(Members(sides), static_cast<size_t>(users));
    EXPECT_EQ(sides[Side::kValidation].size(), 4u);
    if (users == 20) {
      EXPECT_EQ(NamesOf(split, names), sides);
    }
  }
}

TEST(Splitting, ByPathKeepsHistoryAndTextTogether) {
  std::vector<Interaction> interactions;
  for (int i = 0; i < 60; ++i) {
    interactions.push_back(Dialog({"text " + std::to_string(i)}, i % 2 ? "" : "ada"));
    interactions.back().path = "file" + std::to_string(i % 15);
  }
  const Split split = SplitOf(interactions, {.validation_fraction = 0.2, .seed = 3});
  EXPECT_EQ(split.rule, "by path (15 paths)");
  for (size_t i = 15; i < 60; ++i) EXPECT_EQ(split.SideOf(i), split.SideOf(i % 15));
  const Split by_id = SplitOf(interactions, {.by = "id", .validation_fraction = 0.2, .seed = 3});
  EXPECT_EQ(by_id.rule, "by id (60 dialogs in 60 groups that start alike)");
}

TEST(Splitting, ATextThatUsersChangedIsForTraining) {
  std::vector<Interaction> interactions;
  for (int i = 0; i < 40; ++i) {
    interactions.push_back(Dialog({"change " + std::to_string(i)}, "u" + std::to_string(i)));
    interactions.back().path = "file" + std::to_string(i);
    interactions.push_back(Dialog({"text " + std::to_string(i)}));
    interactions.back().path = "file" + std::to_string(i);
  }
  const Split split = SplitOf(interactions, {.validation_fraction = 0.4});
  EXPECT_EQ(split.rule, "by user (40 users)");
  for (size_t i = 1; i < interactions.size(); i += 2) EXPECT_EQ(split.SideOf(i), Side::kTrain);
}

TEST(Splitting, DialogsThatStartAlikeStayTogether) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<Interaction> interactions;
    std::vector<std::string> families;
    for (int i = 0; i < 30; ++i) {
      const std::string n = std::to_string(i);
      const std::vector<std::vector<std::string>> dialogs = {
          {"ask " + n, "answer " + n},
          {"ask " + n, "answer " + n, "more", "yes"},
          {"ask " + n, "another answer"},  // the same request, answered differently
          {"ask " + n, "answer " + n, "more", "no", "why"},
          {"ask " + n, "a third answer", "and then"}};  // goes on from an answered request
      for (const auto& dialog : dialogs) {
        interactions.push_back(Dialog(dialog));
        families.push_back(n);
      }
    }
    const Split split =
        SplitOf(interactions, {.validation_fraction = 0.1, .test_fraction = 0.1, .seed = seed});
    EXPECT_EQ(split.rule, "by id (150 dialogs in 30 groups that start alike)");
    Names sides = NamesOf(split, families);
    EXPECT_EQ(Members(sides), 30u);
    EXPECT_GE(sides[Side::kValidation].size(), 1u);
    EXPECT_GE(sides[Side::kTest].size(), 1u);
  }
}

TEST(Splitting, NoSideIsEmptyWhileThereAreGroups) {
  for (const double fraction : {0.001, 0.5, 0.999}) {
    const Split split = SplitOf({Dialog({std::string(1000, 'x')}), Dialog({"y"})},
                                {.validation_fraction = fraction});
    EXPECT_NE(split.SideOf(0), split.SideOf(1));
  }
  EXPECT_EQ(SplitOf({Dialog({"x"})}, {.validation_fraction = 0.5}).SideOf(0), Side::kTrain);
  // One group far too large for either: the others are taken, and the large one is for training.
  for (uint64_t seed = 0; seed < 8; ++seed) {
    for (const char* by : {"auto", "time"}) {
      const Split split = SplitOf(
          {Dialog({std::string(9000, 'x')}, "", 1), Dialog({"y"}, "", 2), Dialog({"zz"}, "", 3)},
          {.by = by, .validation_fraction = 0.001, .test_fraction = 0.001, .seed = seed});
      const std::set<Side> rest = {split.SideOf(1), split.SideOf(2)};
      EXPECT_EQ(split.SideOf(0), Side::kTrain);
      EXPECT_EQ(rest, (std::set<Side>{Side::kValidation, Side::kTest}));
    }
  }
}

TEST(Splitting, ByTimeHoldsOutTheNewestAndEveryUserWhole) {
  std::vector<Interaction> interactions;
  std::vector<std::string> names;
  std::map<std::string, int64_t> newest;
  for (int i = 0; i < 3000; ++i) {
    const int tick = i * 7 % 3000;               // in no order
    const int user = tick / 30 + tick * 7 % 11;  // users come and go
    names.push_back("user" + std::to_string(user));
    interactions.push_back(Dialog({"text " + std::to_string(i)}, names.back(), 1000 + tick));
    newest[names.back()] = std::max<int64_t>(newest[names.back()], 1000 + tick);
  }
  const Split split =
      SplitOf(interactions, {.by = "time", .validation_fraction = 0.2, .test_fraction = 0.1}, 512);
  EXPECT_TRUE(split.rule.starts_with("by time, groups by user (")) << split.rule;
  Names sides = NamesOf(split, names);
  EXPECT_EQ(Members(sides), newest.size());
  std::map<Side, std::pair<int64_t, int64_t>> range;  // of each side's users' newest interactions
  for (const auto& [side, users] : sides) {
    range[side] = {INT64_MAX, 0};
    for (const std::string& user : users) {
      range[side].first = std::min(range[side].first, newest[user]);
      range[side].second = std::max(range[side].second, newest[user]);
    }
  }
  EXPECT_LE(range[Side::kTrain].second, range[Side::kValidation].first);
  EXPECT_LE(range[Side::kValidation].second, range[Side::kTest].first);
  std::map<Side, int> count;
  for (size_t i = 0; i < interactions.size(); ++i) ++count[split.SideOf(i)];
  EXPECT_NEAR(count[Side::kValidation], 600, 60);
  EXPECT_NEAR(count[Side::kTest], 300, 60);
}

TEST(Splitting, RefusesWhatTheInteractionsDoNotHave) {
  const testing::TemporaryDirectory directory;
  for (const char* by : {"user", "time", "path"}) {
    const std::string error = ErrorOf(core::ExitCode::kData, [&] {
      SplitOf({Dialog({"x"}), Dialog({"y"})}, {.by = by});
    });
    EXPECT_TRUE(Contains(error, std::string("--split=") + by + ": expected")) << error;
  }
}

TEST(Splitting, MemoryForSortingDoesNotChangeTheResult) {
  std::vector<Interaction> interactions;
  for (int i = 0; i < 2000; ++i) {
    interactions.push_back(Dialog({"ask " + std::to_string(i % 700), std::to_string(i)},
                                  i % 3 ? "user" + std::to_string(i % 97) : ""));
  }
  std::vector<bool> left_out(interactions.size());
  for (size_t i = 0; i < left_out.size(); i += 5) left_out[i] = true;
  const SplitRequest request = {.validation_fraction = 0.2, .test_fraction = 0.2};
  const Split large = SplitOf(interactions, request, 1 << 20, left_out);
  const Split small = SplitOf(interactions, request, 200, left_out);
  EXPECT_EQ(large.rule, small.rule);
  for (size_t i = 0; i < interactions.size(); ++i) {
    EXPECT_EQ(large.SideOf(i), small.SideOf(i));
    EXPECT_EQ(large.SideOf(i) == Side::kLeftOut, left_out[i]);
  }
}

TEST(Splitting, AWrongYesOfTheFilterOnlyMakesGroupsLarger) {
  HashFilter filter(64);
  int wrong = 0;
  for (uint64_t hash = 0; hash < 300; ++hash) {
    if (hash < 100) filter.Insert(hash * 77);
    if (hash >= 100) wrong += filter.MayContain(hash * 77) ? 1 : 0;
  }
  for (uint64_t hash = 0; hash < 100; ++hash) EXPECT_TRUE(filter.MayContain(hash * 77));
  EXPECT_GT(wrong, 0);
  EXPECT_LT(wrong, 150);
}

TEST(Import, SplitsByTimeWhenAsked) {
  const testing::TemporaryDirectory directory;
  std::string lines;
  for (int i = 0; i < 50; ++i) {
    std::string line = CoffeeLine(i);
    const int tick = i * 7 % 50;
    lines += line.replace(1, 0, "\"time\": " + std::to_string(1000 + tick) + ", ");
  }
  WriteText(directory / "in.jsonl", lines);
  configs::ImportConfig config = ImportOf(directory / "in.jsonl", directory / "set");
  config.split = "time";
  const ImportReport report = Import(config);
  EXPECT_TRUE(report.split_rule.starts_with("by time, groups by id (50 dialogs"))
      << report.split_rule;
  const auto times_of = [&](const std::string& split) {
    std::set<int64_t> times;
    WalkSplit(Dataset::Open(directory / "set"), split,
              [&](const StoredInteractions&, const StoredKeys& keys) {
                times.insert(keys.time.begin(), keys.time.end());
              });
    return times;
  };
  EXPECT_EQ(times_of("train").size() + times_of("validation").size(), 50u);
  EXPECT_LT(*times_of("train").rbegin(), *times_of("validation").begin());
}

TEST(Import, WritesATestSplitThatIsSeparate) {
  const testing::TemporaryDirectory directory;
  WriteText(directory / "in.jsonl", CoffeeLines(100));
  configs::ImportConfig config = ImportOf(directory / "in.jsonl", directory / "set");
  config.test_fraction = 0.2;
  const ImportReport report = Import(config);
  EXPECT_GE(report.test.interactions, 10);
  EXPECT_EQ(report.train.interactions + report.validation.interactions + report.test.interactions,
            100);
  const Dataset dataset = Dataset::Open(directory / "set");
  EXPECT_EQ(dataset.ShardsOf("test").size(), 1u);
  EXPECT_EQ(dataset.shards().back().split, "test");
  EXPECT_EQ(Measure(dataset, false).splits.at("test").interactions, report.test.interactions);
  for (const auto& entry : std::filesystem::directory_iterator(directory / "set")) {
    const std::string name = entry.path().filename();
    EXPECT_TRUE(name == "index.json" || name == "shards" || name == "tokenizer.model" ||
                name == "user.key")
        << name;
  }
}

}  // namespace
}  // namespace moat::data
