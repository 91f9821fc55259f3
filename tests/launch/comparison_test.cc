// Comparing cells: means, deviations, pairs, and what is missing.
#include "launch/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

namespace moat::launch {
namespace {

using ::testing::HasSubstr;

Comparison TwoCells() {
  Comparison comparison{{"lr"}, {}};
  comparison.cells.push_back({"0", {"0.1"}, {{1, 2.0}, {2, 4.0}, {3, 9.0}}, {}, {}, {}, false});
  comparison.cells.push_back(
      {"1", {"0.2"}, {{1, 1.0}, {2, 2.0}}, {"cell-001-seed-3"}, {}, {}, false});
  Conclude(&comparison);
  return comparison;
}

TEST(Comparison, DeviationIsThatOfTheSample) {
  EXPECT_EQ(SpreadOf({}).mean, std::nullopt);
  EXPECT_EQ(SpreadOf({3.0}).mean, 3.0);
  EXPECT_EQ(SpreadOf({3.0}).sd, std::nullopt);
  const Spread spread = SpreadOf({2, 4, 4, 4, 5, 5, 7, 9});
  EXPECT_EQ(spread.mean, 5.0);
  EXPECT_DOUBLE_EQ(*spread.sd, std::sqrt(32.0 / 7));
}

TEST(Comparison, DifferencesArePairedBySeedAndMissingRunsAreCounted) {
  const Comparison comparison = TwoCells();
  const ComparedCell& first = comparison.cells[0];
  const ComparedCell& second = comparison.cells[1];
  EXPECT_EQ(first.difference.mean, 0.0);
  EXPECT_EQ(second.loss.n, 2);
  EXPECT_EQ(second.loss.mean, 1.5);
  EXPECT_EQ(second.difference.n, 2);        // seed 3 has no pair
  EXPECT_EQ(second.difference.mean, -1.5);  // of -1 and -2, not of the means
  EXPECT_DOUBLE_EQ(*second.difference.sd, std::sqrt(0.5));
  EXPECT_TRUE(second.best && !first.best);
}

TEST(Comparison, NotANumberIsNeverTheBest) {
  Comparison comparison = TwoCells();
  comparison.cells[1].losses[1] = std::numeric_limits<double>::quiet_NaN();
  Conclude(&comparison);
  EXPECT_TRUE(comparison.cells[0].best && !comparison.cells[1].best);
}

TEST(Comparison, TextMarksTheBest) {
  EXPECT_EQ(ToText(TwoCells()),
            "cell  lr   n  missing  mean    sd      difference  difference_sd  best\n"
            "0     0.1  3  0        5.0000  3.6056  +0.0000     0.0000\n"
            "1     0.2  2  1        1.5000  0.7071  -1.5000     0.7071         *\n");
}

TEST(Comparison, JsonAndCsvKeepEveryBit) {
  Comparison comparison = TwoCells();
  comparison.cells[1].losses = {{1, 0.1 + 0.2}};
  Conclude(&comparison);
  const auto json = nlohmann::json::parse(ToJson(comparison));
  EXPECT_EQ(json["cells"][1]["mean"].get<double>(), 0.1 + 0.2);
  EXPECT_TRUE(json["cells"][1]["sd"].is_null());
  EXPECT_EQ(json["cells"][1]["missing"][0], "cell-001-seed-3");
  EXPECT_THAT(ToCsv(comparison), HasSubstr("\n1,0.2,1,1,0.30000000000000004,,"));
}

TEST(Comparison, CsvQuotesWhatHoldsCommas) {
  Comparison comparison = TwoCells();
  comparison.cells[0].values = {"a,\"b\""};
  EXPECT_THAT(ToCsv(comparison), HasSubstr("\n0,\"a,\"\"b\"\"\",3,"));
}

}  // namespace
}  // namespace moat::launch
