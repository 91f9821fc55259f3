// Which nodes a job keeps away from.
#include "launch/preflight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace moat::launch {
namespace {

using ::testing::HasSubstr;

std::vector<RankRates> Ranks(const std::vector<Rates>& rates, int ranks_per_node) {
  std::vector<RankRates> ranks;
  for (const Rates& one : rates) {
    const int rank = static_cast<int>(ranks.size());
    ranks.push_back({rank, "n" + std::to_string(rank / ranks_per_node), one});
  }
  return ranks;
}

TEST(UnfitNodes, OneThatIsSlowBesideTheOthersIsNamedWithTheFigure) {
  const auto unfit = UnfitNodes(
      Ranks({{{"products", 100}}, {{"products", 70}}, {{"products", 98}}, {{"products", 99}}}, 1),
      1, {});
  ASSERT_EQ(unfit.size(), 1u);
  EXPECT_EQ(unfit[0].node, 1);
  EXPECT_EQ(unfit[0].host, "n1");
  EXPECT_EQ(unfit[0].what, "products 70 GFLOP/s, 71% of the job's median of 99");
}

TEST(UnfitNodes, OneRankIsEnoughForItsNode) {
  std::vector<Rates> rates(6, {{"products", 100}, {"memory", 10}});
  rates[4]["memory"] = 3;
  rates[5]["memory"] = 3;
  const auto unfit = UnfitNodes(Ranks(rates, 2), 2, {});
  ASSERT_EQ(unfit.size(), 1u);
  EXPECT_EQ(unfit[0].node, 2);
  EXPECT_EQ(unfit[0].rank, 4);
}

TEST(UnfitNodes, SmallDifferencesAndWhatIsNotMeasuredAreFine) {
  EXPECT_TRUE(
      UnfitNodes(Ranks({{{"products", 100}}, {{"products", 80}, {"disk", 50}}, {}}, 1), 1, {})
          .empty());
}

TEST(UnfitNodes, ThoseThatWereFasterOnceAreFoundByTheBaseline) {
  const auto ranks = Ranks({{{"pairs", 10}}, {{"pairs", 9}}, {{"pairs", 3}}}, 1);
  ASSERT_EQ(UnfitNodes(ranks, 1, {}).size(), 1u);
  const auto two = Ranks({{{"pairs", 8}}, {{"pairs", 4.5}}}, 1);
  EXPECT_TRUE(UnfitNodes(two, 1, {}).empty());
  const auto unfit = UnfitNodes(two, 1, {{"pairs", 10}});
  ASSERT_EQ(unfit.size(), 1u);
  EXPECT_THAT(unfit[0].what, HasSubstr("45% of the baseline of 10"));
}

TEST(UnfitNodes, WhereAllAreSlowerThanTheyWereItIsNotTheNodes) {
  const auto all = Ranks({{{"products", 50}}, {{"products", 50}}, {{"products", 52}}}, 1);
  const Rates baseline = {{"products", 100}};
  EXPECT_TRUE(UnfitNodes(all, 1, baseline).empty());
  EXPECT_THAT(ToText(all, baseline), HasSubstr("baseline 100: all are slower than they were"));
}

TEST(UnfitNodes, AtMostHalfAreLeftOutTheWorstFirst) {
  const auto ranks = Ranks({{{"products", 70}, {"disk", 100}},
                            {{"products", 100}, {"disk", 1}},
                            {{"products", 60}, {"disk", 100}},
                            {{"products", 100}, {"disk", 100}}},
                           1);
  const auto unfit = UnfitNodes(ranks, 1, {});
  ASSERT_EQ(unfit.size(), 2u);
  EXPECT_EQ(unfit[0].node, 1);
  EXPECT_EQ(unfit[1].node, 2);
}

TEST(RatesOf, AreReadFromWhatTheProbeSays) {
  const auto probed = nlohmann::ordered_json::parse(R"({"ranks": [
    {"rank": 0, "host": "a", "gemm": {"f32": {"whole_gflops": 50}, "bf16": {"whole_gflops": 0}},
     "memory_gb_per_s": 10, "disk": {"write_mb_per_s": 900}, "data_mb_per_s": 0}]})");
  const auto ranks = RatesOf(probed, false);
  EXPECT_EQ(ranks[0].rates, (Rates{{"products", 50}, {"memory", 10}, {"disk", 900}}));
  EXPECT_EQ(RatesOf(probed, true)[0].rates, (Rates{{"memory", 10}, {"disk", 900}}));
  EXPECT_THAT(ToText(ranks, {{"memory", 12}}),
              HasSubstr("memory: median 10 GB/s, slowest 10 (rank 0 on a), baseline 12"));
}

}  // namespace
}  // namespace moat::launch
