// A model whose layers multiply in FP8: near the one in bf16, and with bits that depend on nothing
// they should not.
#include <gtest/gtest.h>

#include <cmath>
#include <mutex>

#include "comm/threads.h"
#include "core/error.h"
#include "model/transformer.h"
#include "tests/model/tiny_model.h"
#include "tests/support/values.h"

namespace moat::model {
namespace {

using configs::MatmulDType;
using configs::Recompute;

std::vector<configs::ModelConfig> Families() {
  std::vector<configs::ModelConfig> families = testing::TinyFamilies();
  for (configs::ModelConfig& config : families) {
    config.width = 64;
    config.ffn = 96;
    config.seq_len = 32;
    config.dropout = 0.1;
  }
  return families;
}

struct How {
  MatmulDType products = MatmulDType::kFp8;
  Recompute recompute = Recompute::kNone;
  int threads = 1;
  int tp = 1;
  bool sequence_parallel = false;
};

struct Pass {
  double loss = 0;
  std::vector<float> gradients;  // of rank 0
};

// Two micro-batches, the second with fewer rows and other samples.
Pass PassesOf(const configs::ModelConfig& config, const How& how) {
  Pass pass;
  std::mutex mutex;
  comm::ThreadGroup::Run(how.tp, [&](comm::Communicator& group) {
    tensor::Stream stream(how.threads);
    TransformerOptions options;
    options.max_rows = 3;
    options.dtype = core::DType::kBF16;
    options.tensor = how.tp > 1 ? &group : nullptr;
    options.sequence_parallel = how.sequence_parallel;
    options.recompute = how.recompute;
    options.matmul_dtype = how.products;
    Transformer model(config, options, stream);
    model.InitializeWeights(5);
    const testing::ReferenceBatch batch = testing::TinyBatch(config, 3);
    const std::vector<uint64_t> samples = {4, 5, 6};
    MicroBatch view = testing::View(batch, samples);
    double loss = model.ForwardBackward(view, 9, 3, false).weighted_loss;
    view.rows = 2;
    loss += model.ForwardBackward(view, 9, 4, true).weighted_loss;
    const std::lock_guard lock(mutex);
    if (group.rank() > 0) return;
    pass.loss = loss;
    const float* g = model.gradients().as<float>();
    pass.gradients.assign(g, g + model.gradients().count);
  });
  return pass;
}

// FP8's step is 1/16 (e4m3) and 1/8 (e5m2) of a number: an error of 3 to 6% of a product's terms,
// of which sums keep as much, since their terms are as uneven.
TEST(Float8Model, LossesAndGradientsAreNearThoseOfBf16ButNotThem) {
  for (const configs::ModelConfig& config : Families()) {
    for (const auto& [tp, sequence_parallel] :
         {std::pair(1, false), std::pair(2, false), std::pair(2, true)}) {
      How how{.tp = tp, .sequence_parallel = sequence_parallel};
      const Pass fp8 = PassesOf(config, how);
      how.products = MatmulDType::kSame;
      const Pass bf16 = PassesOf(config, how);
      EXPECT_NEAR(fp8.loss / bf16.loss, 1, 5e-3);
      const double error = testing::RelativeError(fp8.gradients, bf16.gradients);
      EXPECT_LT(error, 0.1);
      EXPECT_GT(error, 0.005) << "no product was in FP8";
    }
  }
}

// Each layer of the model, since one that is wrong could hide among those that are right.
TEST(Float8Model, EveryParametersGradientPointsWhereBf16sDoes) {
  for (const configs::ModelConfig& config : Families()) {
    const Pass fp8 = PassesOf(config, {}), bf16 = PassesOf(config, {MatmulDType::kSame});
    const std::vector<Parameter> table = ParameterTable(config);
    const std::vector<FlatRange> layout = FlatLayout(table, 0, 1);
    for (size_t p = 0; p < table.size(); ++p) {
      // Without rotary positions a key's bias adds the same to all scores of a query: no gradient.
      const bool none = config.position == configs::Position::kLearned;
      if (none && table[p].name.ends_with("attention.bk")) continue;
      double dot = 0, one = 0, other = 0;
      for (int64_t i = layout[p].begin; i < layout[p].end(); ++i) {
        const auto a = static_cast<double>(fp8.gradients[static_cast<size_t>(i)]);
        const auto b = static_cast<double>(bf16.gradients[static_cast<size_t>(i)]);
        dot += a * b;
        one += a * a;
        other += b * b;
      }
      EXPECT_GT(dot / std::sqrt(one * other), 0.97) << table[p].name;
    }
  }
}

TEST(Float8Model, BitsDependOnNeitherThreadsNorRecomputation) {
  for (const configs::ModelConfig& config : Families()) {
    const Pass want = PassesOf(config, {});
    EXPECT_TRUE(testing::SameBits(PassesOf(config, {}).gradients, want.gradients));
    EXPECT_TRUE(testing::SameBits(PassesOf(config, {.threads = 3}).gradients, want.gradients));
    for (const Recompute recompute : {Recompute::kInner, Recompute::kBlock}) {
      const Pass again = PassesOf(config, {.recompute = recompute});
      EXPECT_TRUE(testing::SameBits(again.gradients, want.gradients)) << Name(recompute);
    }
  }
}

// What a micro-batch gives does not depend on those before it: there is no history of scales.
TEST(Float8Model, APassHasNoMemoryOfTheOnesBefore) {
  const configs::ModelConfig config = Families()[0];
  tensor::Stream stream(1);
  Transformer model(config,
                    {.max_rows = 2, .dtype = core::DType::kBF16, .matmul_dtype = MatmulDType::kFp8},
                    stream);
  model.InitializeWeights(5);
  const std::vector<uint64_t> samples = {4, 5};
  const auto batch = testing::TinyBatch(config, 2), other = testing::TinyBatch(config, 2, 77);
  const auto gradients = [&] {
    model.ForwardBackward(testing::View(batch, samples), 1, 1, false);
    const float* g = model.gradients().as<float>();
    return std::vector<float>(g, g + model.gradients().count);
  };
  const std::vector<float> first = gradients();
  model.ForwardBackward(testing::View(other, samples), 1, 2, false);
  model.Evaluate(testing::View(other, samples));
  EXPECT_TRUE(testing::SameBits(gradients(), first));
}

TEST(Float8Model, LearnsAsInBf16) {
  constexpr int kSteps = 60;
  const configs::ModelConfig config = Families()[0];
  const auto losses = [&](MatmulDType products) {
    tensor::Stream stream(1);
    Transformer model(
        config, {.max_rows = 2, .dtype = core::DType::kBF16, .matmul_dtype = products}, stream);
    model.InitializeWeights(3);
    const int64_t n = model.weights().count;
    tensor::Tensor moment1(n, core::DType::kF32), moment2(n, core::DType::kF32);
    const std::vector<uint64_t> samples = {1, 2};
    const auto batch = testing::TinyBatch(config, 2);
    std::vector<double> all;
    for (int t = 1; t <= kSteps; ++t) {
      const LossSums sums = model.ForwardBackward(testing::View(batch, samples), 1, t, false);
      all.push_back(sums.weighted_loss / sums.weight);
      const tensor::AdamWStep step =
          testing::TinyUpdate(t, 3e-3f, 1 / static_cast<float>(sums.weight));
      tensor::AdamW(step, model.gradients(), moment1.view(), moment2.view(), model.weights(),
                    model.rounded_weights(), stream);
    }
    return all;
  };
  const std::vector<double> fp8 = losses(MatmulDType::kFp8), bf16 = losses(MatmulDType::kSame);
  EXPECT_LT(bf16.back(), 0.5 * bf16.front());
  for (size_t t = 0; t < fp8.size(); ++t) {
    EXPECT_NEAR(fp8[t], bf16[t], 0.02 * bf16.front()) << "step " << t + 1;
  }
}

TEST(Float8Model, PlansItsMemoryAndRefusesExtentsThatSixteenDoesNotDivide) {
  configs::ModelConfig config = Families()[0];
  PlanOptions options{.rows = 3, .dtype = core::DType::kBF16};
  const int64_t before = PlanActivations(config, options).total.value;
  options.matmul_dtype = MatmulDType::kFp8;
  const ActivationPlan plan = PlanActivations(config, options);
  const int64_t tokens = 3 * config.seq_len;
  EXPECT_EQ(plan.at("float8.input").elements, tokens * config.ffn);
  EXPECT_EQ(plan.at("float8.weight").elements, 2 * config.ffn * config.width);
  EXPECT_EQ(plan.at("float8.gradient").elements, tokens * 2 * config.ffn);
  EXPECT_LT(plan.total.value - before, tokens * 5 * config.ffn + 2 * config.ffn * config.width +
                                           8 * 64 + 2 * 4 * 4 * config.layers);
  for (const auto& [change, named] :
       std::initializer_list<std::pair<void (*)(configs::ModelConfig&), const char*>>{
           {[](configs::ModelConfig& c) { c.width = 72; }, "--width = 72"},
           {[](configs::ModelConfig& c) { c.seq_len = 24; }, "--seq_len = 24"},
           {[](configs::ModelConfig& c) { c.ffn = 100; }, "--ffn / tp = 100"}}) {
    configs::ModelConfig wrong = config;
    change(wrong);
    try {
      PlanActivations(wrong, options);
      FAIL() << named << " was taken";
    } catch (const core::ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find(named), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace moat::model
