// Packing, order and prefetching: every prediction once per epoch, and every read a pure function.
#include "data/sample_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <map>
#include <numeric>
#include <set>

#include "data/dataset_walk.h"
#include "data/sample_order.h"
#include "tests/data/fixture.h"

namespace moat::data {
namespace {

std::vector<uint64_t> Numbers(int64_t from, int64_t count) {
  std::vector<uint64_t> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), static_cast<uint64_t>(from));
  return numbers;
}

StreamOptions OptionsOf(int64_t seq_len, uint64_t seed = 1) {
  StreamOptions options;
  options.packing.seq_len = seq_len;
  options.seed = seed;
  return options;
}

constexpr RoleWeights kAll = {1, 1, 1, 1, 1};

bool Same(const Batch& a, const Batch& b) {
  return a.tokens == b.tokens && a.targets == b.targets && a.weights == b.weights &&
         a.span_start == b.span_start && a.samples == b.samples && a.content_hash == b.content_hash;
}

TEST(SampleOrder, EveryEpochIsAnotherPermutation) {
  std::vector<int64_t> samples;
  for (int i = 0; i < 300; ++i) samples.push_back(1 + i % 5);
  const SampleOrder order(samples, 7);
  std::vector<std::vector<std::pair<int64_t, int64_t>>> epochs;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::set<std::pair<int64_t, int64_t>> seen;
    epochs.emplace_back();
    for (int64_t p = 0; p < order.samples_per_epoch(); ++p) {
      const auto place =
          order.Shuffled(static_cast<uint64_t>(epoch * order.samples_per_epoch() + p));
      EXPECT_LT(place.row, samples[static_cast<size_t>(place.window)]);
      seen.emplace(place.window, place.row);
      epochs.back().emplace_back(place.window, place.row);
    }
    EXPECT_EQ(static_cast<int64_t>(seen.size()), order.samples_per_epoch());
  }
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[1], epochs[2]);
  EXPECT_NE(SampleOrder(samples, 8).Shuffled(0), order.Shuffled(0));
  EXPECT_EQ(order.Natural(1).window, 1);
}

// Neighbours in the data end up far apart: of a split of few windows any order is as likely as any
// other, so the mean distance between neighbours is a third of the epoch.
TEST(SampleOrder, ShufflesASmallSplitThoroughly) {
  const std::vector<int64_t> rows = {700, 300};
  const SampleOrder order(rows, 5);
  std::vector<int64_t> at(1000);
  for (int64_t p = 0; p < 1000; ++p) {
    const SamplePlace place = order.Shuffled(static_cast<uint64_t>(p));
    at[static_cast<size_t>((place.window == 0 ? 0 : 700) + place.row)] = p;
  }
  double distance = 0;
  for (size_t i = 1; i < at.size(); ++i) distance += std::abs(at[i] - at[i - 1]);
  EXPECT_NEAR(distance / 999, 1000.0 / 3, 30);
}

// Of a larger one, a group of kGroupWindows windows is finished before the next begins, and every
// epoch draws other groups.
TEST(SampleOrder, ReadsOneGroupOfWindowsAtATime) {
  const SampleOrder order(std::vector<int64_t>(50, 20), 5);
  std::set<std::set<int64_t>> groups[2];
  for (uint64_t epoch = 0; epoch < 2; ++epoch) {
    for (uint64_t group = 0; group < 13; ++group) {
      std::set<int64_t> windows;
      for (uint64_t p = group * 80; p < std::min<uint64_t>(1000, (group + 1) * 80); ++p) {
        windows.insert(order.Shuffled(epoch * 1000 + p).window);
      }
      EXPECT_EQ(windows.size(), group < 12 ? 4u : 2u);
      groups[epoch].insert(windows);
    }
  }
  EXPECT_NE(groups[0], groups[1]);
}

// Every (token, target, weight) slot of the split, from the batches of one epoch and from the
// interactions themselves.
using Slots = std::multiset<std::tuple<int32_t, int32_t, float>>;

TEST(SampleStream, AnEpochHoldsEveryPredictionOnceWithItsWeight) {
  const CoffeeSet set(150, 4000);
  const Dataset dataset = Dataset::Open(set.path());
  for (const int64_t seq_len : {5, 32, 128, 4096}) {
    StreamOptions options = OptionsOf(seq_len);
    options.roles = kAll;
    const SampleStream stream(dataset, "train", options);
    Slots expected, found;
    WalkSplit(dataset, "train", [&](const StoredInteractions& run, const StoredKeys&) {
      for (int64_t i = 0; i < run.size(); ++i) {
        for (int64_t t = run.TokenStart(i); t + 1 < run.TokenStart(i + 1); ++t) {
          const int32_t target = run.tokens[static_cast<size_t>(t) + 1];
          expected.emplace(run.tokens[static_cast<size_t>(t)], target,
                           target >= 3 && target <= 7 ? 0.0f : 1.0f);
        }
      }
    });
    const Batch batch = stream.Read(Numbers(0, stream.samples_per_epoch()));
    for (size_t i = 0; i < batch.tokens.size(); ++i) {
      const int64_t slot = static_cast<int64_t>(i) % seq_len;
      ASSERT_LE(batch.span_start[i], slot);
      if (batch.targets[i] == 0) continue;  // padding
      found.emplace(batch.tokens[i], batch.targets[i], batch.weights[i]);
      // Inside a span the next token read is this target.
      if (slot + 1 < seq_len && batch.span_start[i + 1] == batch.span_start[i]) {
        ASSERT_EQ(batch.tokens[i + 1], batch.targets[i]);
      }
    }
    EXPECT_EQ(found, expected) << "seq_len " << seq_len;
  }
}

TEST(SampleStream, PaddingIsAloneAndWeightless) {
  const CoffeeSet set(30);
  const SampleStream stream(Dataset::Open(set.path()), "validation", OptionsOf(4096));
  const Batch batch = stream.ReadInOrder({0});
  const size_t last = batch.tokens.size() - 1;
  EXPECT_EQ(batch.tokens[last], 0);
  EXPECT_EQ(batch.weights[last], 0.0f);
  EXPECT_EQ(batch.span_start[last], 4095);
}

TEST(SampleStream, RolesSelectTheLoss) {
  const CoffeeSet set(40);
  const Dataset dataset = Dataset::Open(set.path());
  const auto weight_of = [&](const RoleWeights& roles) {
    StreamOptions options;
    options.roles = roles;
    const SampleStream stream(dataset, "train", options);
    const Batch batch = stream.ReadInOrder(Numbers(0, stream.samples_per_epoch()));
    return std::accumulate(batch.weights.begin(), batch.weights.end(), 0.0);
  };
  double scored = 0;
  WalkSplit(dataset, "train", [&](const StoredInteractions& run, const StoredKeys&) {
    ForEachScoredSlot(run, [&](int32_t, int32_t, float weight) { scored += weight; });
  });
  EXPECT_EQ(weight_of(kScored), scored);
  EXPECT_EQ(weight_of({}), 0);
  EXPECT_GT(weight_of(kAll), scored);
}

TEST(SampleStream, RoleWeightsMultiplySegmentWeights) {
  const CoffeeSet set(40);
  const Dataset dataset = Dataset::Open(set.path());
  StreamOptions options = OptionsOf(64);
  options.roles = kAll;
  const SampleStream ones(dataset, "train", options);
  options.roles = {0.5f, 0.1f, 1, 0, 2};
  const SampleStream weighted(dataset, "train", options);
  const Batch one = ones.Read(Numbers(0, 50)), other = weighted.Read(Numbers(0, 50));
  EXPECT_EQ(one.tokens, other.tokens);
  std::set<std::pair<float, float>> seen;
  for (size_t i = 0; i < one.weights.size(); ++i) seen.emplace(one.weights[i], other.weights[i]);
  // Not weighted; user, assistant and tool.
  EXPECT_EQ(seen, (std::set<std::pair<float, float>>{{0, 0}, {1, 0.1f}, {1, 1}, {1, 0}}));
}

// Concatenated: the tokens of a block in order, every slot's target the next token, also across
// interactions; one span a row; what opens an interaction or a segment weighs nothing.
TEST(SampleStream, ConcatRunsOnAcrossInteractions) {
  const CoffeeSet set(100, 4000);
  const Dataset dataset = Dataset::Open(set.path());
  StreamOptions options = OptionsOf(37);
  options.packing.mode = PackMode::kConcat;
  options.roles = kAll;
  const SampleStream stream(dataset, "train", options);
  const Batch batch = stream.ReadInOrder(Numbers(0, stream.samples_per_epoch()));
  size_t at = 0;
  for (const ShardEntry& entry : dataset.ShardsOf("train")) {
    const ShardReader reader(dataset.directory(), entry, dataset.vocab_size());
    for (int64_t first = 0; first < entry.interactions; first += kBlockInteractions) {
      const StoredInteractions block =
          reader.ReadInteractions(first, std::min(kBlockInteractions, entry.interactions - first));
      for (size_t t = 0; t + 1 < block.tokens.size(); ++t, ++at) {
        const int32_t target = block.tokens[t + 1];
        ASSERT_EQ(batch.tokens[at], block.tokens[t]);
        ASSERT_EQ(batch.targets[at], target);
        ASSERT_EQ(batch.weights[at], target == 1 || (target >= 3 && target <= 7) ? 0.0f : 1.0f);
        ASSERT_EQ(batch.span_start[at], 0);
      }
      for (; at % 37 != 0; ++at) ASSERT_EQ(batch.span_start[at], static_cast<int32_t>(at % 37));
    }
  }
  EXPECT_EQ(at, batch.tokens.size());
}

TEST(SampleStream, OneWeightedTokenIsOneWeight) {
  const testing::TemporaryDirectory directory;
  std::string lines;
  for (int i = 0; i < 4; ++i) {
    lines += R"({"weight": 0.5, "messages": [{"role": "user", "content": "q)" + std::to_string(i) +
             R"("}, {"role": "assistant", "content": ""}]})" + "\n";
  }
  WriteText(directory / "in.jsonl", lines);
  Import(ImportOf(directory / "in.jsonl", directory / "set"));
  const SampleStream stream(Dataset::Open(directory / "set"), "train", OptionsOf(64));
  const Batch batch = stream.Read(Numbers(0, stream.samples_per_epoch()));
  for (size_t i = 0; i < batch.weights.size(); ++i) {
    const bool closes = batch.targets[i] == 2 && batch.tokens[i] == 5;
    EXPECT_EQ(batch.weights[i], closes ? 0.5f : 0.0f);
  }
}

TEST(SampleStream, ReadIsPure) {
  const CoffeeSet set(200, 3000);
  const Dataset dataset = Dataset::Open(set.path());
  const SampleStream stream(dataset, "train", OptionsOf(48, 3));
  const SampleStream fresh(dataset, "train", OptionsOf(48, 3));
  const int64_t size = 2 * stream.samples_per_epoch();
  const Batch all = stream.Read(Numbers(0, size));
  uint64_t hash = 0;
  for (int64_t i = size - 1; i >= 0; --i) {
    const Batch one = fresh.Read({static_cast<uint64_t>(i)});
    hash += one.content_hash;
    EXPECT_TRUE(std::equal(one.tokens.begin(), one.tokens.end(), all.tokens.begin() + i * 48));
    EXPECT_TRUE(std::equal(one.weights.begin(), one.weights.end(), all.weights.begin() + i * 48));
  }
  EXPECT_EQ(hash, all.content_hash);  // additive over any split of the rows
  EXPECT_TRUE(Same(stream.Read({5, 3, 5}), fresh.Read({5, 3, 5})));
  EXPECT_NE(stream.Read({1, 2}).content_hash, stream.Read({1, 3}).content_hash);
  const SampleStream other(dataset, "train", OptionsOf(48, 4));
  EXPECT_FALSE(Same(other.Read(Numbers(0, 10)), stream.Read(Numbers(0, 10))));
  EXPECT_TRUE(Same(other.ReadInOrder(Numbers(0, 10)), stream.ReadInOrder(Numbers(0, 10))));
}

TEST(SampleStream, DamageAfterTheStartIsFoundWhenRead) {
  const CoffeeSet set(30);
  const Dataset dataset = Dataset::Open(set.path());
  const SampleStream stream(dataset, "train", OptionsOf(64));
  const ShardEntry entry = dataset.ShardsOf("train")[0];
  std::string bytes = core::ReadWholeFile(set.path() / entry.file);
  bytes[static_cast<size_t>(entry.arrays[shard::kTokens].offset)] ^= 1;
  const int file = open((set.path() / entry.file).c_str(), O_WRONLY);
  ASSERT_EQ(pwrite(file, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  close(file);
  ErrorOf(core::ExitCode::kData, [&] { stream.Read({0}); });
}

TEST(Prefetcher, GivesThePlanInOrderThenItsError) {
  const CoffeeSet set(60);
  const SampleStream stream(Dataset::Open(set.path()), "train", OptionsOf(64));
  Prefetcher prefetcher(
      stream,
      [](int64_t i) {
        if (i == 20) throw core::DataError("the plan ends here");
        return Numbers(i * 2, 2);
      },
      3);
  for (int64_t i = 0; i < 20; ++i) {
    EXPECT_TRUE(Same(prefetcher.Next(), stream.Read(Numbers(i * 2, 2))));
  }
  EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kData, [&] { prefetcher.Next(); }), "ends here"));
  EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kData, [&] { prefetcher.Next(); }), "ends here"));
  EXPECT_GE(prefetcher.wait_seconds(), 0);
}

TEST(Prefetcher, MayBeAbandonedWithoutTakingAnything) {
  const CoffeeSet set(30);
  const SampleStream stream(Dataset::Open(set.path()), "train", OptionsOf(64));
  for (int i = 0; i < 20; ++i)
    Prefetcher(
        stream, [](int64_t) { return Numbers(0, 1); }, 2);
}

}  // namespace
}  // namespace moat::data
