// Mixing data sets: shares that hold from the first sample on, epochs that end exactly, and the
// same answer with and without history.
#include "data/mixture.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "core/crc32c.h"
#include "core/rng.h"
#include "data/sample_stream.h"
#include "tests/data/fixture.h"

namespace moat::data {
namespace {

using Weights = std::vector<uint64_t>;

uint64_t SumOf(const Weights& weights) {
  return std::accumulate(weights.begin(), weights.end(), uint64_t{0});
}

// What mixture.h promises.
double BoundOf(size_t parts) { return parts <= 2 ? 0.5 : parts == 3 ? 1 : 2; }

const Weights kMixtures[] = {
    {1},
    {7, 3},
    {1, 1},
    {999, 1},
    {1, 1, 1},
    {5, 97, 5},
    {700'000'000, 200'000'000, 100'000'000},
    {1, 2, 3, 5, 8, 13, 21, 34, 55},
    {9'700, 100, 100, 100},
    {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
};

TEST(Mixture, EveryPrefixHoldsEachShareAndSeekingEqualsWalking) {
  for (const Weights& weights : kMixtures) {
    const Mixture mixture(weights);
    const auto sum = static_cast<double>(SumOf(weights));
    Weights counts(weights.size(), 0);
    for (uint64_t n = 0; n < 5000; ++n) {
      const MixedNumber found = mixture.Of(n);
      uint64_t& count = counts.at(static_cast<size_t>(found.part));
      ASSERT_EQ(found.number, count) << "number " << n;
      ++count;
      for (size_t part = 0; part < weights.size(); ++part) {
        const double share = static_cast<double>(n + 1) * static_cast<double>(weights[part]) / sum;
        ASSERT_LE(std::abs(static_cast<double>(counts[part]) - share),
                  BoundOf(weights.size()) + 1e-9)
            << "part " << part << " after " << n + 1;
        ASSERT_EQ(mixture.CountOf(static_cast<int32_t>(part), n + 1), counts[part]);
      }
    }
  }
}

TEST(Mixture, AnEpochOfEverythingEndsWithEachOnesOwn) {
  const Weights sizes = {1000, 37, 3, 1};
  const Mixture mixture(sizes);
  for (uint64_t epoch = 0; epoch < 3; ++epoch) {
    std::set<std::pair<int32_t, uint64_t>> seen;
    for (uint64_t n = epoch * 1041; n < (epoch + 1) * 1041; ++n) {
      const MixedNumber found = mixture.Of(n);
      EXPECT_EQ(found.number / sizes[static_cast<size_t>(found.part)], epoch);
      seen.emplace(found.part, found.number);
    }
    EXPECT_EQ(seen.size(), 1041u);
  }
}

TEST(Mixture, NumbersFarOutAreAsExactAsTheFirst) {
  const Weights weights = Billionths({0.123, 0.456, 0.421});
  const Mixture mixture(weights);
  const uint64_t epochs = 9'000'000'000, far = epochs * 1'000'000'000;  // near 2^63
  for (uint64_t n = 0; n < 1000; ++n) {
    const MixedNumber near = mixture.Of(n), found = mixture.Of(far + n);
    EXPECT_EQ(found.part, near.part);
    EXPECT_EQ(found.number, near.number + epochs * weights[static_cast<size_t>(near.part)]);
  }
}

// A resumed run must find what it left: the rule is part of the format (docs/dataset-format.md).
TEST(Mixture, TheRuleStaysAsItIs) {
  const auto first = [](const Weights& weights) {
    const Mixture mixture(weights);
    std::string parts;
    for (uint64_t n = 0; n < 12; ++n) parts += std::to_string(mixture.Of(n).part);
    return parts;
  };
  EXPECT_EQ(first({7, 3}), "010001001001");
  EXPECT_EQ(first({1, 1, 1}), "120120120120");
  EXPECT_EQ(first({1, 2, 3, 6}), "132303231323");
}

TEST(Mixture, OfOneChangesNothing) {
  const Mixture alone({5});
  for (const uint64_t n : {uint64_t{0}, uint64_t{17}, std::numeric_limits<uint64_t>::max()}) {
    EXPECT_EQ(alone.Of(n), (MixedNumber{0, n}));
  }
}

TEST(Mixture, BillionthsAddUp) {
  EXPECT_EQ(Billionths({7, 3}), (Weights{700'000'000, 300'000'000}));
  EXPECT_EQ(Billionths({0.7, 0.3}), Billionths({7, 3}));
  EXPECT_EQ(Billionths({1, 1, 1}), (Weights{333'333'334, 333'333'333, 333'333'333}));
  EXPECT_EQ(Billionths({1e300, 1e300}), (Weights{500'000'000, 500'000'000}));
  for (const std::vector<double>& weights :
       {std::vector<double>{0.1, 0.2, 0.3, 0.4}, {1e-6, 1}, {1, 2, 3, 5, 8, 13, 21}}) {
    EXPECT_EQ(SumOf(Billionths(weights)), 1'000'000'000u);
  }
}

// Two data sets whose rows differ, and what reads them.
class MixedStreamTest : public ::testing::Test {
 protected:
  static StreamOptions Options() {
    StreamOptions options;
    options.packing.seq_len = 64;
    return options;
  }
  static int64_t Size(const SampleStream& stream) { return stream.samples_per_epoch(); }
  // As docs/dataset-format.md defines it, of a batch of one row.
  static uint64_t HashAs(uint64_t number, const Batch& row) {
    const size_t bytes = row.tokens.size() * 4;
    uint32_t crc = core::Crc32c(row.tokens.data(), bytes);
    crc = core::Crc32c(row.targets.data(), bytes, crc);
    crc = core::Crc32c(row.weights.data(), bytes, crc);
    crc = core::Crc32c(row.span_start.data(), bytes, crc);
    return core::Mix64(core::Mix64(number) + crc);
  }

  const CoffeeSet large_set_{90}, small_set_{20};
  const std::vector<Dataset> both_ = {Dataset::Open(large_set_.path()),
                                      Dataset::Open(small_set_.path())};
  const SampleStream large_{both_[0], "train", Options()}, small_{both_[1], "train", Options()};
};

TEST_F(MixedStreamTest, IsEachDataSetsOwnSamplesInItsOwnOrder) {
  for (const std::vector<double>& weights :
       {std::vector<double>{}, std::vector<double>{0.25, 0.75}}) {
    const SampleStream mixed(both_, weights, "train", Options());
    EXPECT_EQ(Size(mixed), Size(large_) + Size(small_));
    EXPECT_EQ(mixed.samples_per_epoch_of(1), Size(small_));
    uint64_t next[] = {0, 0};
    for (uint64_t n = 0; n < 3 * static_cast<uint64_t>(Size(mixed)); ++n) {
      const int32_t part = mixed.mixture().Of(n).part;
      const Batch own = (part == 0 ? large_ : small_).Read({next[part]++});
      const Batch row = mixed.Read({n});
      ASSERT_EQ(row.tokens, own.tokens);
      ASSERT_EQ(row.weights, own.weights);
      ASSERT_EQ(row.samples, std::vector<uint64_t>{n});
    }
    const uint64_t small_epochs = next[1] / static_cast<uint64_t>(Size(small_));
    EXPECT_EQ(small_epochs, weights.empty() ? 3u : small_epochs);
    EXPECT_GE(small_epochs, 3u) << "the small one goes round at its own pace";
  }
}

// The mistake that the content hash is there for.
TEST_F(MixedStreamTest, AnOffByOneInOneDataSetsNumbersChangesTheHash) {
  const SampleStream mixed(both_, {0.5, 0.5}, "train", Options());
  for (uint64_t n = 0; n < 20; ++n) {
    const MixedNumber own = mixed.mixture().Of(n);
    if (own.part == 0) continue;
    const uint64_t hash = mixed.Read({n}).content_hash;
    EXPECT_EQ(hash, HashAs(n, small_.Read({own.number})));
    EXPECT_NE(hash, HashAs(n, small_.Read({own.number + 1})));
  }
}

TEST_F(MixedStreamTest, BatchesDoNotDependOnHowNumbersAreCutIntoThem) {
  const SampleStream mixed(both_, {0.6, 0.4}, "train", Options());
  std::vector<uint64_t> numbers(64);
  std::iota(numbers.begin(), numbers.end(), uint64_t{1000});
  const Batch whole = mixed.Read(numbers);
  uint64_t sum = 0;
  for (const uint64_t n : numbers) sum += mixed.Read({n}).content_hash;
  EXPECT_EQ(sum, whole.content_hash);
}

TEST_F(MixedStreamTest, OneDataSetIsReadAsWithoutAMixture) {
  const SampleStream weighted({both_[0]}, {3.0}, "train", Options());
  for (uint64_t n = 0; n < 200; ++n) {
    ASSERT_EQ(weighted.Read({n}).content_hash, large_.Read({n}).content_hash);
    ASSERT_EQ(weighted.Read({n}).content_hash, HashAs(n, large_.Read({n})));
  }
}

}  // namespace
}  // namespace moat::data
