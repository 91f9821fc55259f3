// What a run reads: the same samples on every grid and through resumes, from any data set, and an
// end with an error on all ranks where a shard is not there.
#include <gtest/gtest.h>

#include <filesystem>

#include "comm/self.h"
#include "core/error.h"
#include "core/rng.h"
#include "data/dataset.h"
#include "tests/trainer/fixture.h"
#include "trainer/run_data.h"
#include "trainer/training_step.h"

namespace moat::trainer {
namespace {

namespace fs = std::filesystem;

class SamplesTest : public TrainerTest {
 protected:
  static TrainerOptions Short(const fs::path& run, int64_t steps) {
    TrainerOptions options = Options(run);
    options.config.steps = steps;
    options.config.model.layers = 1;
    options.config.checkpoint_every = 3;
    return options;
  }
};

TEST_F(SamplesTest, EveryGridIsFedTheSame) {
  const testing::TemporaryDirectory runs;
  const End one = Train(Short(runs / "one", 6), 1, 1);
  ASSERT_EQ(one.hashes.size(), 6u);
  int run = 0;
  for (const auto& [dp, tp] : {std::pair(2, 1), {4, 1}, {8, 1}, {1, 2}, {2, 2}}) {
    const End other = Train(Short(runs / std::to_string(++run), 6), dp, 1, tp);
    EXPECT_EQ(other.hashes, one.hashes) << "dp " << dp << " tp " << tp;
  }
}

TEST_F(SamplesTest, ElasticResumesAreFedAsIfNothingHadHappened) {
  const testing::TemporaryDirectory runs;
  const End one = Train(Short(runs / "one", 9), 1, 1);
  Train(Short(runs / "moved", 3), 4, 1);
  Train(Short(runs / "moved", 6), 2, 1, 2);
  const End moved = Train(Short(runs / "moved", 9), 8, 1);
  EXPECT_EQ(moved.hashes, one.hashes);
}

TEST_F(SamplesTest, SeedPackingAndRolesAreInTheHash) {
  const testing::TemporaryDirectory runs;
  const End one = Train(Short(runs / "one", 2), 2, 1);
  TrainerOptions options = Short(runs / "seed", 2);
  options.config.seed = 2;
  EXPECT_NE(Train(options, 2, 1).hashes, one.hashes);
  options = Short(runs / "pack", 2);
  options.config.pack = "concat";
  EXPECT_NE(Train(options, 2, 1).hashes, one.hashes);
  options = Short(runs / "roles", 2);
  options.config.loss_roles = {"assistant", "user=0.25"};
  EXPECT_NE(Train(options, 2, 1).hashes, one.hashes);
}

// Rank 1 of 2 reads one sample further than it should: the mistake that the hash is there for.
TEST_F(SamplesTest, AnOffByOneOnOneRankChangesTheHash) {
  configs::TrainConfig config = Options("unused").config;
  config.global_batch = 4;
  const data::Dataset dataset = data::Dataset::Open(config.data.front());
  config.model.vocab_size = dataset.vocab_size();
  const data::SampleStream stream(dataset, "train", StreamOptionsOf(config));
  const auto fed = [&](int dp, uint64_t off) {
    uint64_t result = 0;
    comm::ThreadGroup::Run(dp, [&](comm::Communicator& data) {
      tensor::Stream device;
      model::Transformer model(config.model, ModelOptions(config, dp, nullptr), device);
      Optimizer optimizer(config, model, data, device);
      optimizer.InitializeWeights(1);
      const auto alone = comm::MakeSelf("tensor");
      TrainingStep step(config, parallel::MakeCanonicalWays(4, 1, dp, 0), model, optimizer,
                        {data, data, *alone}, device);
      uint64_t next = static_cast<uint64_t>(data.rank() * 4 / dp);
      if (data.rank() == 1) next += off;
      const StepResult done = step.Run(
          1, [&] { return stream.Read({next++}); }, [] { return ControlWords{}; });
      if (data.rank() == 0) result = done.fed;
    });
    return result;
  };
  const uint64_t expected = fed(1, 0);
  EXPECT_EQ(fed(2, 0), expected);
  EXPECT_EQ(fed(4, 0), expected);
  EXPECT_NE(fed(2, 1), expected);
  EXPECT_NE(fed(4, 1), expected);
}

// One sample for four ranks: every step takes sixteen epochs of it, and no rank a step more.
TEST_F(SamplesTest, FewerSamplesThanRanks) {
  const testing::TemporaryDirectory runs;
  std::ofstream(runs / "two.jsonl")
      << R"({"id": "a", "messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "yes"}]})"
      << "\n"
      << R"({"id": "b", "messages": [{"role": "user", "content": "two"}, {"role": "assistant", "content": "no"}]})"
      << "\n";
  configs::ImportConfig import;
  import.in = {(runs / "two.jsonl").string()};
  import.out = (runs / "data").string();
  import.vocab_size = 300;
  data::Import(import);
  TrainerOptions options = Short(runs / "run", 4);
  options.config.data = {import.out};
  const End end = Train(options, 4, 1);
  EXPECT_EQ(end.code, core::ExitCode::kOk);
  EXPECT_EQ(end.losses.size(), 4u);
  options.layout.root = runs / "alone";
  EXPECT_EQ(Train(options, 1, 1).hashes, end.hashes);
}

TEST_F(SamplesTest, AMissingShardEndsEveryRankWithItsName) {
  const testing::TemporaryDirectory runs;
  fs::copy(Options("unused").config.data.front(), runs / "data", fs::copy_options::recursive);
  const std::string shard = data::Dataset::Open(runs / "data").shards()[0].file;
  fs::remove(runs / "data" / shard);
  TrainerOptions options = Short(runs / "run", 2);
  options.config.data = {(runs / "data").string()};
  try {
    Train(options, 2, 1);
    FAIL() << "trained without a shard";
  } catch (const core::DataError& error) {
    EXPECT_NE(std::string(error.what()).find(shard), std::string::npos) << error.what();
  }
}

// The data set's files go away once the run has begun: it reads on from what it has open.
TEST_F(SamplesTest, ShardsDeletedWhileTheRunReadsThemAreReadToTheEnd) {
  const testing::TemporaryDirectory runs;
  fs::copy(Options("unused").config.data.front(), runs / "data", fs::copy_options::recursive);
  TrainerOptions options = Short(runs / "run", 6);
  options.config.data = {(runs / "data").string()};
  options.stop_code = [&] {  // asked once a step, on every rank
    std::error_code ignored;
    fs::remove_all(runs / "data" / "shards", ignored);
    return 0;
  };
  EXPECT_EQ(Train(options, 2, 1).hashes, Train(Short(runs / "whole", 6), 1, 1).hashes);
}

}  // namespace
}  // namespace moat::trainer
