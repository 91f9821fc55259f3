// One model over several tensor ranks: the losses and gradients of one rank, and equal replicas.
#include <gtest/gtest.h>

#include <mutex>
#include <span>

#include "comm/threads.h"
#include "model/transformer.h"
#include "tests/model/tiny_model.h"
#include "tests/support/values.h"

namespace moat::model {
namespace {

const std::vector<uint64_t> kSamples = {10, 11, 12};

configs::ModelConfig Even(configs::ModelConfig config) {
  config.ffn = 28;
  config.dropout = 0.1;
  return config;
}

std::vector<float> Floats(tensor::ConstView view) {
  return {view.as<float>(), view.as<float>() + view.count};
}

struct Whole {
  double loss = 0;
  std::vector<std::vector<float>> weights, gradients;  // by parameter, as global tensors
};

// Trains nothing: one pass over `tp` ranks, gathered into global tensors; replicated ones must be
// the same on all ranks, bit for bit.
Whole Pass(const configs::ModelConfig& config, int tp, core::DType dtype = core::DType::kF32) {
  Whole whole;
  std::mutex mutex;
  comm::ThreadGroup::Run(tp, [&](comm::Communicator& group) {
    tensor::Stream stream;
    Transformer model(config, {.max_rows = 3, .dtype = dtype, .tensor = &group}, stream);
    model.InitializeWeights(7);
    for (float& w :
         std::span(model.weights().as<float>(), static_cast<size_t>(model.weights().count))) {
      w *= 8;
    }
    model.RoundWeights();
    const auto batch = testing::TinyBatch(config, 3);
    const LossSums sums = model.ForwardBackward(testing::View(batch, kSamples), 5, 3, false);
    const std::lock_guard lock(mutex);
    EXPECT_TRUE(whole.weights.empty() || whole.loss == sums.weighted_loss) << "ranks differ";
    whole.loss = sums.weighted_loss;
    whole.weights.resize(model.parameters().size());
    whole.gradients.resize(model.parameters().size());
    for (size_t p = 0; p < model.parameters().size(); ++p) {
      const parallel::SplitSpec& split = model.parameters()[p].split;
      const parallel::Slice mine = parallel::LocalSlice(split, group.rank(), tp);
      const auto gather = [&](std::vector<float>& to, tensor::View from) {
        const bool first = to.empty();
        to.resize(static_cast<size_t>(split.global.elements()));
        if (split.replicated() && !first) {
          EXPECT_TRUE(testing::SameBits(to, Floats(from))) << model.parameters()[p].name;
        }
        parallel::CopySlice(mine, mine, from.data, parallel::Slice::Whole(split.global), to.data(),
                            sizeof(float));
      };
      gather(whole.weights[p], model.weight(static_cast<int>(p)));
      gather(whole.gradients[p], model.gradient(static_cast<int>(p)));
    }
  });
  return whole;
}

class TensorParallelTest : public ::testing::TestWithParam<configs::ModelConfig> {};

TEST_P(TensorParallelTest, TwoRanksHaveTheWeightsLossAndGradientsOfOne) {
  const configs::ModelConfig config = Even(GetParam());
  const Whole one = Pass(config, 1), two = Pass(config, 2);
  EXPECT_NEAR(two.loss / one.loss, 1, 1e-6);
  const auto table = ParameterTable(config);
  for (size_t p = 0; p < table.size(); ++p) {
    EXPECT_TRUE(testing::SameBits(one.weights[p], two.weights[p])) << table[p].name;
    if (table[p].name.ends_with(".bk")) continue;  // may be zero but for rounding
    EXPECT_LT(testing::RelativeError(two.gradients[p], one.gradients[p]), 1e-4) << table[p].name;
  }
}

TEST_P(TensorParallelTest, InBf16TwoRanksSumInF32AndStayNearOne) {
  const configs::ModelConfig config = Even(GetParam());
  const Whole one = Pass(config, 1, core::DType::kBF16), two = Pass(config, 2, core::DType::kBF16);
  EXPECT_NEAR(two.loss / one.loss, 1, 2e-3);
  std::vector<float> of_one, of_two;
  for (const auto& gradient : one.gradients) {
    of_one.insert(of_one.end(), gradient.begin(), gradient.end());
  }
  for (const auto& gradient : two.gradients) {
    of_two.insert(of_two.end(), gradient.begin(), gradient.end());
  }
  EXPECT_LT(testing::RelativeError(of_two, of_one), 3e-2);
}

INSTANTIATE_TEST_SUITE_P(Families, TensorParallelTest,
                         ::testing::ValuesIn(testing::TinyFamilies()));

TEST(TensorParallel, SizesThatDoNotDivideAreRefusedWithTheEquation) {
  comm::ThreadGroup::Run(2, [&](comm::Communicator& group) {
    tensor::Stream stream;
    try {
      Transformer model(testing::TinyConfig(), {.tensor = &group}, stream);  // ffn = 29
      FAIL() << "29 / 2 was accepted";
    } catch (const core::ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find("29 / 2"), std::string::npos) << error.what();
    }
  });
}

}  // namespace
}  // namespace moat::model
