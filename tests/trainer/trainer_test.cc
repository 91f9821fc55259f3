// Whole runs on ranks-as-threads: the same bits on every grid, through kills and resumes.
#include "trainer/trainer.h"

#include <cmath>
#include <functional>

#include "checkpoint/manifest/line.h"
#include "comm/grid.h"
#include "comm/self.h"
#include "comm/threads.h"
#include "core/clock.h"
#include "core/durable_file.h"
#include "data/baselines.h"
#include "tests/support/reference_transformer.h"
#include "tests/support/values.h"
#include "tests/trainer/fixture.h"
#include "trainer/run_data.h"
#include "trainer/usable_dtype.h"

namespace moat::trainer {
namespace {

TEST_F(TrainerTest, EveryGridAndThreadCountEndsWithTheSameBitsWhileTheLossFalls) {
  const testing::TemporaryDirectory runs;
  const End one = Train(Options(runs / "1x1"), 1, 1);
  ASSERT_EQ(one.code, core::ExitCode::kOk);
  ASSERT_EQ(one.losses.size(), 50u);
  EXPECT_LT(one.losses.back(), 0.8 * one.losses.front());
  for (const int dp : {1, 2, 4}) {
    for (const int threads : {1, 2}) {
      if (dp * threads == 1) continue;
      const End other =
          Train(Options(runs / (std::to_string(dp) + "x" + std::to_string(threads))), dp, threads);
      EXPECT_EQ(one.losses, other.losses) << dp << " ranks x " << threads << " threads";
      EXPECT_EQ(one.hashes, other.hashes);
      EXPECT_EQ(one.validation, other.validation);
      EXPECT_TRUE(testing::SameBits(one.state, other.state))
          << dp << " ranks x " << threads << " threads";
    }
  }
}

TEST_F(TrainerTest, StoppedAndResumedOnAnotherGridEndsWithTheSameBits) {
  const testing::TemporaryDirectory runs;
  const End whole = Train(Options(runs / "whole"), 2, 1);
  for (const int dp_after : {2, 4, 1}) {
    TrainerOptions options = Options(runs / ("stopped" + std::to_string(dp_after)));
    int asked = 0;
    std::mutex mutex;
    options.stop_code = [&] {  // one rank hears the signal, in the middle of the run
      const std::lock_guard lock(mutex);
      return ++asked > 46 ? 75 : 0;
    };
    const End half = Train(options, 2, 1);
    EXPECT_EQ(half.code, core::ExitCode::kPreempted);
    ASSERT_LT(half.losses.size(), 50u);
    options.stop_code = nullptr;
    options.attempt = 1;
    const End resumed = Train(options, dp_after, 2);
    EXPECT_EQ(resumed.code, core::ExitCode::kOk);
    EXPECT_EQ(whole.losses, resumed.losses);
    EXPECT_EQ(whole.hashes, resumed.hashes);
    EXPECT_TRUE(testing::SameBits(whole.state, resumed.state)) << "resumed with dp=" << dp_after;
  }
}

TEST(UsableDType, ARankThatLacksInstructionsIsNamedAndFallsBackOnlyWhenAsked) {
  comm::ThreadGroup::Run(2, [](comm::Communicator& world) {
    const auto bf16 = core::DType::kBF16;
    const std::string missing = world.rank() == 1 ? "avx512_bf16 or amx_bf16" : "";
    EXPECT_EQ(UsableDType(bf16, false, "", world), bf16);
    EXPECT_EQ(UsableDType(bf16, true, missing, world), core::DType::kF32);
    try {
      UsableDType(bf16, false, missing, world);
      ADD_FAILURE() << "bf16 was accepted";
    } catch (const core::ConfigError& error) {
      for (const char* word : {"--dtype=bf16", "rank 1", "avx512_bf16", "--dtype_fallback"}) {
        EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
      }
    }
  });
}

// Master weights, gradients and moments are f32: what holds for bits in f32 holds in bf16, for both
// families.
TEST_F(TrainerTest, InBf16GridsAndResumesKeepTheBitsAndTheLossFollowsF32) {
  for (const bool gpt2 : {false, true}) {
    const testing::TemporaryDirectory runs;
    const auto options_for = [&](const std::string& name, core::DType dtype) {
      TrainerOptions options = Options(runs / name);
      options.config.dtype = dtype;
      options.config.steps = 40;
      if (gpt2) {
        options.config.model.norm = configs::Norm::kLayer;
        options.config.model.position = configs::Position::kLearned;
        options.config.model.mlp = configs::Mlp::kGelu;
        options.config.model.bias = true;
        options.config.model.tie_embeddings = true;
        options.config.model.kv_heads = options.config.model.heads;
      }
      return options;
    };
    const End wide = Train(options_for("f32", core::DType::kF32), 1, 2);
    const End one = Train(options_for("one", core::DType::kBF16), 1, 1);
    ASSERT_EQ(one.losses.size(), 40u);
    EXPECT_LT(one.losses.back(), 0.8 * one.losses.front());
    EXPECT_NEAR(one.validation / wide.validation, 1, 0.01);
    const End four = Train(options_for("four", core::DType::kBF16), 4, 2);
    EXPECT_EQ(one.losses, four.losses);
    EXPECT_TRUE(testing::SameBits(one.state, four.state));

    TrainerOptions stopped = options_for("stopped", core::DType::kBF16);
    stopped.stop_code = [asked = 0]() mutable { return ++asked > 25 ? 75 : 0; };
    EXPECT_EQ(Train(stopped, 1, 1).code, core::ExitCode::kPreempted);
    stopped.stop_code = nullptr;
    const End resumed = Train(stopped, 2, 1);
    EXPECT_EQ(one.losses, resumed.losses);
    EXPECT_TRUE(testing::SameBits(one.state, resumed.state));
  }
}

TEST_F(TrainerTest, TwoTensorRanksTrainAsOneAndResumeOnAnotherGrid) {
  const testing::TemporaryDirectory runs;
  TrainerOptions options = Options(runs / "one");
  options.config.steps = 30;
  const End one = Train(options, 1, 1);
  options.layout.root = runs / "two";
  options.config.tp = 2;
  const End two = Train(options, 2, 1, 2);
  ASSERT_EQ(two.losses.size(), 30u);
  EXPECT_LT(two.losses.back(), 0.8 * two.losses.front());
  for (size_t i = 0; i < one.losses.size(); ++i) {
    EXPECT_NEAR(two.losses[i] / one.losses[i], 1, 1e-5) << "step " << i + 1;
  }
  EXPECT_EQ(one.hashes, two.hashes);
  EXPECT_NEAR(two.validation / one.validation, 1, 1e-5);
  // The checkpoint holds global tensors: a single rank goes on from it.
  options.config.steps = 32;
  options.config.tp = 1;
  options.attempt = 1;
  const End resumed = Train(options, 1, 1);
  EXPECT_EQ(resumed.code, core::ExitCode::kOk);
  ASSERT_EQ(resumed.losses.size(), 32u);
  EXPECT_LT(resumed.losses.back(), 1.1 * two.losses.back());
}

TEST_F(TrainerTest, AfterARollBackTheRunGoesOnOnItsOwnLine) {
  const testing::TemporaryDirectory runs;
  const End whole = Train(Options(runs / "whole"), 1, 1);
  TrainerOptions options = Options(runs / "run");
  Train(options, 1, 1);  // saves 20, 40 and 50; 20 goes
  const auto stop_after = [&](int steps) {
    options.stop_code = [left = steps]() mutable { return left-- > 1 ? 0 : 75; };
  };
  options.config.resume = "40";
  options.attempt = 1;
  stop_after(5);
  EXPECT_EQ(Train(options, 1, 1).code, core::ExitCode::kPreempted);  // and saves 45
  options.config.resume = "auto";
  options.attempt = 2;
  options.stop_code = nullptr;
  const End resumed = Train(options, 2, 1);
  EXPECT_EQ(resumed.code, core::ExitCode::kOk);
  const rundir::Metrics metrics = rundir::ReadMetrics(options.layout.metrics());
  EXPECT_EQ(metrics.steps.at(45).attempt, 1);
  EXPECT_EQ(metrics.steps.at(46).attempt, 2) << "resumed from the abandoned step 50, not from 45";
  EXPECT_TRUE(testing::SameBits(whole.state, resumed.state));
  const auto line = checkpoint::ListLine(options.layout.checkpoints());
  ASSERT_EQ(line.size(), 2u);
  EXPECT_EQ(line[0].path.filename(), "step-00000050.g2");
  const auto manifest = checkpoint::ReadManifest(line[0].path);
  EXPECT_EQ(manifest.position.lineage,
            (std::vector<std::string>{"step-00000020", "step-00000040", "step-00000045"}));
}

TEST_F(TrainerTest, LineageDoesNotGrowWithEverySave) {
  const testing::TemporaryDirectory runs;
  TrainerOptions options = Options(runs / "run");
  options.config.steps = 80;
  options.config.checkpoint_every = 1;
  options.config.keep_every = 7;
  options.config.eval_every = 0;
  Train(options, 1, 1);
  const auto line = checkpoint::ListLine(options.layout.checkpoints());
  const std::vector<std::string> lineage = checkpoint::ReadManifest(line[0].path).position.lineage;
  EXPECT_LE(lineage.size(), 65u);
  for (size_t i = 1; i < line.size(); ++i) {
    EXPECT_EQ(std::count(lineage.begin(), lineage.end(), line[i].path.filename()), 1) << i;
  }
}

TEST_F(TrainerTest, ResumeNeverRefusesARunThatHasCheckpoints) {
  const testing::TemporaryDirectory runs;
  TrainerOptions options = Options(runs / "run");
  options.config.steps = 2;
  options.config.resume = "never";
  Train(options, 2, 1);
  EXPECT_THROW(Train(options, 2, 1), core::ConfigError);
}

// A model of zeros gives every token 1/V, so that everything is known; a third of the chats weigh
// 0.5. The counts are those of `moat data stat`, which the baselines share.
TEST_F(TrainerTest, BitsPerByteCountEveryScoredTokenOnceWhateverItsWeight) {
  const configs::TrainConfig config = Options("unused").config;
  const data::Dataset dataset = data::Dataset::Open(config.data.front());
  const data::Tokenizer tokenizer = CheckedTokenizer(dataset);
  const data::SampleStream validation(dataset, "validation", StreamOptionsOf(config));
  configs::ModelConfig model_config = config.model;
  model_config.vocab_size = dataset.vocab_size();
  tensor::Stream stream;
  model::Transformer model(model_config, {.max_rows = 1, .with_gradients = false}, stream);
  const Evaluation evaluation =
      Evaluator(validation, tokenizer, 1, 0).Run(model, *comm::MakeSelf());
  const data::Baselines baselines = data::MeasureBaselines(dataset);
  EXPECT_EQ(evaluation.tokens, baselines.scored_tokens);
  EXPECT_EQ(evaluation.bytes, baselines.scored_bytes);
  EXPECT_LT(evaluation.weight, static_cast<double>(evaluation.tokens));
  const double bits = std::log2(static_cast<double>(dataset.vocab_size()));
  EXPECT_NEAR(evaluation.bits_per_byte,
              bits * static_cast<double>(evaluation.tokens) / static_cast<double>(evaluation.bytes),
              1e-5);
}

// Beside training or not, a checkpoint holds the state of its step: the CRC of every piece says so.
TEST_F(TrainerTest, SavesBesideTrainingHoldTheStateOfTheirStep) {
  const testing::TemporaryDirectory runs;
  std::vector<std::map<std::string, std::vector<uint32_t>>> pieces;  // of both runs
  for (const bool async : {false, true}) {
    TrainerOptions options = Options(runs / (async ? "async" : "sync"));
    options.config.async_checkpoints = async;
    options.config.checkpoint_every = 3;
    options.config.keep_checkpoints = 100;
    options.config.eval_every = 4;  // the best one is saved too
    options.config.steps = 20;
    Train(options, 2, 1);
    pieces.emplace_back();
    for (const auto& found : checkpoint::ListCheckpoints(options.layout.checkpoints())) {
      checkpoint::Verify(found.path);
      const checkpoint::Manifest manifest = checkpoint::ReadManifest(found.path);
      for (const auto& [name, tensor] : manifest.tensors) {
        std::vector<uint32_t>& crcs = pieces.back()[found.path.filename().string() + name];
        for (const checkpoint::Piece& piece : tensor.pieces) crcs.push_back(piece.crc32c);
      }
    }
  }
  EXPECT_GE(pieces[0].size(), 7u * 3);
  EXPECT_EQ(pieces[0], pieces[1]);
}

TEST_F(TrainerTest, AFinishedRunHasNothingToDo) {
  const testing::TemporaryDirectory runs;
  TrainerOptions options = Options(runs / "run");
  options.config.steps = 3;
  const End first = Train(options, 1, 1);
  const End again = Train(options, 1, 1);
  EXPECT_EQ(again.code, core::ExitCode::kOk);
  EXPECT_EQ(again.losses.size(), 3u);
  EXPECT_TRUE(testing::SameBits(first.state, again.state));
}

// A time that is nearly over when training starts: one step is taken, because it takes one to
// agree.
TEST_F(TrainerTest, ARunThatKnowsItsEndSavesBeforeAndGoesOnLater) {
  const testing::TemporaryDirectory runs;
  TrainerOptions options = Options(runs / "run");
  options.config.steps = 12;
  options.config.checkpoint_every = 0;
  const End whole = Train(options, 2, 1);
  options.layout.root = runs / "hurried";
  options.config.end_time = core::WallMicroseconds() / 1000000 + 5;  // less than a save is given
  const End hurried = Train(options, 2, 1);
  EXPECT_EQ(hurried.code, core::ExitCode::kPreempted);
  EXPECT_EQ(hurried.losses.size(), 1u);
  options.config.end_time = core::WallMicroseconds() / 1000000 + 100000;
  const End later = Train(options, 2, 1);
  EXPECT_EQ(later.code, core::ExitCode::kOk);
  EXPECT_TRUE(testing::SameBits(whole.state, later.state));
}

// The evaluation of step 3 is left; the step after it hears of the stop and saves.
TEST_F(TrainerTest, ARequestToStopEndsAnEvaluationToo) {
  const testing::TemporaryDirectory runs;
  TrainerOptions options = Options(runs / "run");
  options.config.eval_every = 3;
  options.config.eval_batches = 0;
  options.stop_code = [&] {
    return rundir::ReadMetrics(options.layout.metrics()).steps.contains(3) ? 75 : 0;
  };
  const End end = Train(options, 1, 1);
  EXPECT_EQ(end.code, core::ExitCode::kPreempted);
  EXPECT_EQ(end.losses.size(), 4u);
  EXPECT_TRUE(rundir::ReadMetrics(options.layout.metrics()).evaluations.empty());
}

// The last evaluation too: everything is trained, so that is saved and the run is done.
TEST_F(TrainerTest, ARequestToStopInTheLastEvaluationKeepsTheLastStep) {
  const testing::TemporaryDirectory runs;
  TrainerOptions options = Options(runs / "run");
  options.config.steps = 4;
  options.stop_code = [&] {
    return rundir::ReadMetrics(options.layout.metrics()).steps.contains(4) ? 75 : 0;
  };
  EXPECT_EQ(Train(options, 2, 1).code, core::ExitCode::kOk);
  EXPECT_TRUE(rundir::ReadMetrics(options.layout.metrics()).evaluations.empty());
  const auto saved = checkpoint::ListCheckpoints(options.layout.checkpoints());
  ASSERT_FALSE(saved.empty());
  EXPECT_EQ(saved.front().step, 4);
}

TEST_F(TrainerTest, AnotherIdentityIsRefusedWithBothValues) {
  const testing::TemporaryDirectory runs;
  TrainerOptions options = Options(runs / "run");
  options.config.steps = 2;
  Train(options, 1, 1);
  options.identity["lr"] = "0.5";
  try {
    Train(options, 1, 1);
    FAIL() << "resumed with another learning rate";
  } catch (const core::ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("lr was 0.01, now 0.5"), std::string::npos)
        << error.what();
  }
}

TEST_F(TrainerTest, ADivergingRunEndsWith79AndCommitsNothingNew) {
  const testing::TemporaryDirectory runs;
  TrainerOptions options = Options(runs / "run");
  options.config.lr = 1e30;
  options.config.clip = 0;
  options.config.warmup = 0;
  options.config.checkpoint_every = 0;
  EXPECT_THROW(Train(options, 2, 1), core::NumericsError);
  EXPECT_TRUE(checkpoint::ListCheckpoints(options.layout.checkpoints()).empty());
}

// Steps over two rows whose slots weigh `weight_of(row, slot)`, on one rank and on two, have one
// loss: sum(w * l) / sum(w) of the plain f64 model. Returns it and the two rows' sums of w * l.
struct WeightedLoss {
  double loss = 0;
  double sums[2] = {};
};
WeightedLoss CompareWithReference(configs::TrainConfig config,
                                  const std::function<float(int, int)>& weight_of) {
  config.model.vocab_size = 90;
  config.model.seq_len = 500;
  config.model.dropout = 0;
  config.global_batch = 2;
  config.clip = 0;
  double weight = 0;
  const auto batch_of = [&](int rank) {
    data::Batch batch;
    batch.rows = 1;
    batch.seq_len = 500;
    batch.samples = {static_cast<uint64_t>(rank)};
    for (int t = 0; t < 500; ++t) {
      batch.tokens.push_back((t * 7 + rank) % 90);
      batch.targets.push_back((t * 11 + 3 + rank) % 90);
      batch.span_start.push_back(0);
      batch.weights.push_back(weight_of(rank, t));
    }
    return batch;
  };
  for (const int rank : {0, 1}) {
    for (const float w : batch_of(rank).weights) weight += static_cast<double>(w);
  }
  std::vector<double> losses(2), norms(2);
  for (const int dp : {1, 2}) {
    comm::ThreadGroup::Run(dp, [&](comm::Communicator& data) {
      tensor::Stream stream;
      model::Transformer model(config.model, ModelOptions(config, dp, nullptr), stream);
      Optimizer optimizer(config, model, data, stream);
      optimizer.InitializeWeights(1);
      const auto alone = comm::MakeSelf("tensor");
      TrainingStep step(config, parallel::MakeCanonicalWays(2, 1, dp, 0), model, optimizer,
                        {data, data, *alone}, stream);
      int next = data.rank();
      const StepResult result = step.Run(
          1, [&] { return batch_of(next++); }, [] { return ControlWords{}; });
      if (data.rank() == 0) {
        losses[static_cast<size_t>(dp - 1)] = result.loss;
        norms[static_cast<size_t>(dp - 1)] = result.grad_norm;
        EXPECT_DOUBLE_EQ(result.weight, weight);
      }
    });
  }
  EXPECT_EQ(losses[0], losses[1]);
  EXPECT_EQ(norms[0], norms[1]);
  // Against the plain f64 model, on one rank.
  tensor::Stream stream;
  model::Transformer model(config.model, {.max_rows = 1, .with_gradients = false}, stream);
  model.InitializeWeights(1);
  testing::ReferenceTransformer reference(config.model);
  for (size_t p = 0; p < model.parameters().size(); ++p) {
    const tensor::View weights = model.weight(static_cast<int>(p));
    reference.parameters[model.parameters()[p].name] = {weights.as<float>(),
                                                        weights.as<float>() + weights.count};
  }
  WeightedLoss result;
  result.loss = losses[0];
  for (const int rank : {0, 1}) {
    const data::Batch batch = batch_of(rank);
    result.sums[rank] =
        reference.Loss({1, batch.tokens, batch.targets, batch.span_start, batch.weights});
  }
  EXPECT_NEAR(result.loss, (result.sums[0] + result.sums[1]) / weight, 1e-6);
  return result;
}

// One rank has 1 weighted token, another 500: the loss is the mean over all 501, not a mean of
// means.
TEST_F(TrainerTest, UnevenMasksOnDifferentRanksGiveTheMeanOverAllTokens) {
  const WeightedLoss result = CompareWithReference(Options("unused").config, [](int rank, int t) {
    return rank == 1 || t == 250 ? 1.0f : 0.0f;
  });
  EXPECT_GT(std::abs(result.loss - (result.sums[0] + result.sums[1] / 500) / 2),
            1e-4);  // a mean of means is another number
}

TEST_F(TrainerTest, WeightsMayBeFractions) {
  const auto weight_of = [](int rank, int t) {
    return rank == 0 ? 0.1f * static_cast<float>(t % 5) : (t % 3 == 0 ? 2.5f : 0.75f);
  };
  const WeightedLoss result = CompareWithReference(Options("unused").config, weight_of);
  const WeightedLoss masked = CompareWithReference(Options("unused").config, [&](int rank, int t) {
    return weight_of(rank, t) > 0 ? 1.0f : 0.0f;
  });
  EXPECT_GT(std::abs(result.loss - masked.loss), 1e-4);  // weights are not only on or off
}

}  // namespace
}  // namespace moat::trainer
