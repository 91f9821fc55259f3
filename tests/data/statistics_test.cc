// What `moat data stat` counts, against what was put in.
#include "data/statistics.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/rng.h"
#include "tests/data/fixture.h"

namespace moat::data {
namespace {

TEST(DistinctCount, IsExactWhileItCanBeAndThenClose) {
  DistinctCount count;
  for (uint64_t i = 0; i < 3 * DistinctCount::kExact; ++i) count.Add(core::Mix64(i % 50000));
  EXPECT_TRUE(count.exact());
  EXPECT_EQ(count.count(), 50000);
  DistinctCount one, other;
  for (uint64_t i = 0; i < 1'000'000; ++i) (i % 2 ? one : other).Add(core::Mix64(i));
  one.Add(other);
  EXPECT_FALSE(one.exact());
  EXPECT_NEAR(static_cast<double>(one.count()), 1e6, 1.5e4);
}

TEST(WeightCounts, KeepsValuesWhileTheyAreFewAndThenRanges) {
  WeightCounts few;
  for (const float weight : {0.0f, 1.0f, 1.0f, 0.25f}) few.Add(weight);
  EXPECT_EQ(few.values, (std::map<float, int64_t>{{0, 1}, {0.25f, 1}, {1, 2}}));
  WeightCounts many;
  for (int i = 1; i <= 40; ++i) many.Add(static_cast<float>(i));
  few.Add(many);
  EXPECT_TRUE(few.many);
  EXPECT_EQ(few.zero, 1);
  EXPECT_EQ(few.ranges,
            (std::map<int, int64_t>{{-2, 1}, {0, 3}, {1, 2}, {2, 4}, {3, 8}, {4, 16}, {5, 9}}));
}

TEST(Statistics, CountsUsersTimesWeightsAndFallbackBytes) {
  const testing::TemporaryDirectory directory;
  std::string lines;
  for (int i = 0; i < 60; ++i) {
    const std::string n = std::to_string(i);
    lines += R"({"id": ")" + n + R"(", "user": "u)" + std::to_string(i % 25) + R"(", "time": )" +
             std::to_string(1000 + i) +
             R"(, "messages": [{"role": "user", "content": "plain words )" + n +
             R"("}, {"role": "assistant", "content": "more plain words\u0000"}], "weight": )" +
             (i % 2 ? "0.5" : "1") + "}\n";
  }
  WriteText(directory / "in.jsonl", lines);
  Import(ImportOf(directory / "in.jsonl", directory / "set"));
  const Dataset dataset = Dataset::Open(directory / "set");
  const Statistics statistics = Measure(dataset, false);
  SplitStatistics all;
  for (const auto& [name, split] : statistics.splits) all.Add(split);
  EXPECT_EQ(all.interactions, 60);
  EXPECT_EQ(all.users.count(), 25);
  EXPECT_EQ(all.first_time, 1000'000'000);
  EXPECT_EQ(all.last_time, 1059'000'000);
  EXPECT_EQ(all.weights.values, (std::map<float, int64_t>{{0.5f, 30}, {1, 90}}));
  EXPECT_GE(all.fallback_bytes, 60);  // the NULs, at least
  EXPECT_LT(all.fallback_bytes, all.bytes / 4);
  const std::string text = ToText(statistics);
  EXPECT_TRUE(Contains(text, "from 1970-01-01T00:16:40Z to ")) << text;
  EXPECT_TRUE(Contains(text, "weights of segments\n        0.5 ")) << text;
  const auto json = nlohmann::json::parse(ToJson(statistics));
  EXPECT_EQ(json["splits"]["train"]["users_exact"], true);
  EXPECT_GT(json["splits"]["train"]["fallback_share"], 0.0);

  const UserStatistics user = MeasureUser(dataset, "u3", "");
  int64_t interactions = 0;
  for (const auto& [name, split] : user.splits) interactions += split.interactions;
  EXPECT_EQ(interactions, 3);  // 3, 28 and 53
  EXPECT_EQ(user.first_time, 1003'000'000);
  EXPECT_EQ(user.last_time, 1053'000'000);
  EXPECT_EQ(MeasureUser(dataset, "nobody", "").last_time, 0);
}

}  // namespace
}  // namespace moat::data
