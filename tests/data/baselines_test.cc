// The baselines, on cases small enough to compute by hand.
#include "data/baselines.h"

#include <cmath>

#include "data/bigram.h"
#include "data/statistics.h"
#include "tests/data/fixture.h"

namespace moat::data {
namespace {

TEST(Bigram, ProbabilitiesAreTheInterpolation) {
  BigramModel model(4);
  model.Add({0, 1});
  model.Add({0, 1});
  model.Add({0, 2});
  // Untuned weights are a third each: uniform 1/4, unigram 2/3, bigram 2/3.
  EXPECT_NEAR(model.Probability(0, 1), (1.0 / 4 + 2.0 / 3 + 2.0 / 3) / 3, 1e-12);
  EXPECT_NEAR(model.Probability(0, 3), (1.0 / 4) / 3, 1e-12);
  EXPECT_NEAR(model.Probability(3, 1), (1.0 / 4 + 2.0 / 3) / 2, 1e-12);  // an unseen context
}

TEST(Bigram, SumsToOneInEveryContextAfterTuning) {
  BigramModel model(5);
  for (int i = 0; i < 60; ++i) model.Add({i % 3, (i * 7) % 4});
  model.Tune({{0, 1}, {1, 4}, {2, 0}, {3, 3}});
  for (int32_t previous = 0; previous < 5; ++previous) {
    double sum = 0;
    for (int32_t target = 0; target < 5; ++target) {
      EXPECT_GT(model.Probability(previous, target), 0);
      sum += model.Probability(previous, target);
    }
    EXPECT_NEAR(sum, 1, 1e-12);
  }
}

TEST(Bigram, TuningTrustsWhatHeldOutTokensConfirm) {
  BigramModel sure(8);
  BigramModel unsure(8);
  std::vector<ScoredToken> confirming, surprising;
  for (int i = 0; i < 800; ++i) {
    for (BigramModel* model : {&sure, &unsure}) model->Add({i % 8, (i + 1) % 8});
    confirming.push_back({i % 8, (i + 1) % 8});
    surprising.push_back({i % 8, (i * 5 + 3) % 8});
  }
  sure.Tune(confirming);
  unsure.Tune(surprising);
  EXPECT_GT(sure.Probability(0, 1), 0.99);
  EXPECT_LT(unsure.Probability(0, 1), 0.5);
}

TEST(Baselines, ScoreTheValidationSplit) {
  const CoffeeSet set(300);
  const Dataset dataset = Dataset::Open(set.path());
  const Statistics statistics = Measure(dataset, true);
  ASSERT_TRUE(statistics.baselines.has_value());
  const Baselines& baselines = *statistics.baselines;
  const RoleStatistics& assistant =
      statistics.splits.at("validation").roles[static_cast<size_t>(Role::kAssistant)];
  EXPECT_EQ(baselines.scored_tokens, assistant.weighted_tokens);
  EXPECT_EQ(baselines.scored_bytes, assistant.bytes);
  EXPECT_GT(baselines.bigram_bits_per_byte, 0);
  EXPECT_LT(baselines.bigram_bits_per_byte, 4);
  EXPECT_GT(baselines.xz_bits_per_byte, 0);
  EXPECT_LT(baselines.xz_bits_per_byte, 4);
  EXPECT_EQ(statistics.splits.at("train").interactions, set.report.train.interactions);
  EXPECT_EQ(statistics.splits.at("train").tokens, set.report.train.tokens);
  EXPECT_TRUE(Contains(ToText(statistics), "bigram"));
  EXPECT_TRUE(Contains(ToJson(statistics), "\"xz_bits_per_byte\""));
}

// A weight says how much a token counts in training; a bit is a bit.
TEST(Baselines, CountEveryScoredTokenOnceWhateverItsWeight) {
  const testing::TemporaryDirectory directory;
  std::string weighted;
  for (int i = 0; i < 120; ++i) {
    std::string line = CoffeeLine(i);
    const size_t last = line.rfind("\"}]}");
    if (i % 2 == 0) line.insert(last + 1, R"(, "weight": 0.125)");
    weighted += line;
  }
  WriteText(directory / "plain.jsonl", CoffeeLines(120));
  WriteText(directory / "weighted.jsonl", weighted);
  std::vector<Baselines> found;
  for (const std::string name : {"plain", "weighted"}) {
    Import(ImportOf(directory / (name + ".jsonl"), directory / name));
    found.push_back(MeasureBaselines(Dataset::Open(directory / name)));
  }
  EXPECT_EQ(found[0].scored_bytes, found[1].scored_bytes);
  EXPECT_EQ(found[0].bigram_bits_per_byte, found[1].bigram_bits_per_byte);
  EXPECT_EQ(found[0].xz_bits_per_byte, found[1].xz_bits_per_byte);
}

}  // namespace
}  // namespace moat::data
