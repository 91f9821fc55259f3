// The model against a plain f64 model and its finite differences.
#include "model/transformer.h"

#include <gtest/gtest.h>

#include "tests/model/tiny_model.h"
#include "tests/support/values.h"

namespace moat::model {
namespace {

using testing::TinyBatch;
using testing::TinyConfig;

const std::vector<uint64_t> kSamples = {10, 11, 12, 13};

// Larger weights than training starts with, so that every path matters.
void FillWeights(Transformer& model) {
  for (size_t p = 0; p < model.parameters().size(); ++p) {
    const Parameter& parameter = model.parameters()[p];
    tensor::View weight = model.weight(static_cast<int>(p));
    const auto values = testing::RandomValues(parameter.name, weight.count,
                                              parameter.init == Init::kOnes ? 0.3f : 0.4f);
    for (int64_t i = 0; i < weight.count; ++i) {
      weight.as<float>()[i] =
          values[static_cast<size_t>(i)] + (parameter.init == Init::kOnes ? 1.0f : 0.0f);
    }
  }
  model.RoundWeights();
}

testing::ReferenceTransformer ReferenceOf(Transformer& model) {
  testing::ReferenceTransformer reference(model.config());
  for (size_t p = 0; p < model.parameters().size(); ++p) {
    const tensor::View weight = model.weight(static_cast<int>(p));
    reference.parameters[model.parameters()[p].name] = {weight.as<float>(),
                                                        weight.as<float>() + weight.count};
  }
  return reference;
}

class TransformerTest : public ::testing::TestWithParam<configs::ModelConfig> {};

TEST_P(TransformerTest, LossAndLogitsEqualThePlainModel) {
  const configs::ModelConfig& config = GetParam();
  tensor::Stream stream(2);
  Transformer model(config, {.max_rows = 4, .with_gradients = false}, stream);
  FillWeights(model);
  const auto batch = TinyBatch(config, 4);
  testing::Matrix want;
  const double loss = ReferenceOf(model).Loss(batch, &want);
  std::vector<float> logits(want.size());
  model.Logits(testing::View(batch, kSamples), logits.data());
  EXPECT_LT(testing::RelativeError(logits, want), 2e-6);
  const LossSums sums = model.Evaluate(testing::View(batch, kSamples));
  EXPECT_NEAR(sums.weighted_loss / loss, 1, 1e-6);
}

TEST_P(TransformerTest, EveryParametersGradientEqualsFiniteDifferences) {
  const configs::ModelConfig& config = GetParam();
  tensor::Stream stream(1);
  Transformer model(config, {.max_rows = 2, .with_gradients = true}, stream);
  FillWeights(model);
  const auto batch = TinyBatch(config, 2);
  std::vector<int> ready;
  model.ForwardBackward(testing::View(batch, kSamples), 1, 1, false,
                        [&](int p) { ready.push_back(p); });
  auto reference = ReferenceOf(model);
  for (size_t p = 0; p < model.parameters().size(); ++p) {
    const Parameter& parameter = model.parameters()[p];
    std::vector<double> want;
    for (double& value : reference.parameters[parameter.name]) {
      const double keep = value, step = 1e-4;
      value = keep + step;
      const double up = reference.Loss(batch);
      value = keep - step;
      want.push_back((up - reference.Loss(batch)) / (2 * step));
      value = keep;
    }
    const tensor::View view = model.gradient(static_cast<int>(p));
    const std::vector<float> got(view.as<float>(), view.as<float>() + view.count);
    if (parameter.name.ends_with(".bk") && config.position == configs::Position::kLearned) {
      // Without rotation a key's bias moves all scores of a query alike: nothing changes.
      EXPECT_LT(testing::RelativeError(got, std::vector<double>(got.size())), 1e-5);
    } else {
      EXPECT_LT(testing::RelativeError(got, want), 2e-5) << parameter.name;
    }
    EXPECT_EQ(std::count(ready.begin(), ready.end(), static_cast<int>(p)), 1)
        << parameter.name << " was not announced once";
  }
}

INSTANTIATE_TEST_SUITE_P(Families, TransformerTest, ::testing::ValuesIn(testing::TinyFamilies()));

// bf16 keeps 8 bits: weights are rounded before both models see them, so that what remains is the
// rounding of activations.
TEST_P(TransformerTest, InBf16LossAndGradientsStayNearThePlainModels) {
  const configs::ModelConfig& config = GetParam();
  tensor::Stream stream(2);
  const TransformerOptions options = {.max_rows = 2};
  Transformer model(config, {.max_rows = 2, .dtype = core::DType::kBF16}, stream);
  FillWeights(model);
  for (int64_t i = 0; i < model.weights().count; ++i) {
    float& weight = model.weights().as<float>()[i];
    weight = static_cast<float>(core::BFloat16(weight));
  }
  model.RoundWeights();
  Transformer wide(config, options, stream);
  tensor::Copy(model.weights(), wide.weights(), stream);
  const auto batch = TinyBatch(config, 2);
  const auto view = testing::View(batch, kSamples);
  const LossSums got = model.ForwardBackward(view, 1, 1, false);
  const LossSums want = wide.ForwardBackward(view, 1, 1, false);
  EXPECT_NEAR(got.weighted_loss / want.weighted_loss, 1, 5e-3);
  const auto floats = [](tensor::View v) {
    return std::vector<float>(v.as<float>(), v.as<float>() + v.count);
  };
  EXPECT_LT(testing::RelativeError(floats(model.gradients()), floats(wide.gradients())), 3e-2);
}

std::vector<float> Gradients(int threads, double dropout, int64_t seq_len,
                             core::DType dtype = core::DType::kF32) {
  configs::ModelConfig config = TinyConfig();
  config.seq_len = seq_len;
  config.dropout = dropout;
  tensor::Stream stream(threads);
  Transformer model(config, {.max_rows = 4, .dtype = dtype}, stream);
  FillWeights(model);
  const auto batch = TinyBatch(config, 4);
  const LossSums sums = model.ForwardBackward(testing::View(batch, kSamples), 1, 7, false);
  model.ForwardBackward(testing::View(batch, kSamples), 1, 8, true);
  std::vector<float> all(model.gradients().as<float>(),
                         model.gradients().as<float>() + model.gradients().count);
  all.push_back(static_cast<float>(sums.weighted_loss));
  return all;
}

TEST(Transformer, GradientsHaveTheSameBitsForAnyThreads) {
  for (const core::DType dtype : {core::DType::kF32, core::DType::kBF16}) {
    for (const double dropout : {0.0, 0.2}) {
      testing::SameForAnyThreads(
          [&](int threads) { return Gradients(threads, dropout, 71, dtype); });
    }
  }
}

TEST(Transformer, DropoutGradientIsThatOfTheDroppedLoss) {
  // With the mask fixed by (seed, step), the loss is a smooth function: compare directional
  // derivatives.
  configs::ModelConfig config = TinyConfig();
  config.dropout = 0.3;
  tensor::Stream stream(1);
  Transformer model(config, {.max_rows = 2, .with_gradients = true}, stream);
  FillWeights(model);
  const auto batch = TinyBatch(config, 2);
  const auto view = testing::View(batch, kSamples);
  model.ForwardBackward(view, 5, 2, false);
  const std::vector<float> gradient(model.gradients().as<float>(),
                                    model.gradients().as<float>() + model.gradients().count);
  const auto direction = testing::RandomValues("direction", static_cast<int64_t>(gradient.size()));
  double want = 0;
  for (size_t i = 0; i < gradient.size(); ++i)
    want += static_cast<double>(gradient[i]) * static_cast<double>(direction[i]);
  const auto loss_at = [&](float step) {
    FillWeights(model);
    float* w = model.weights().as<float>();
    for (size_t i = 0; i < direction.size(); ++i) w[i] += step * direction[i];
    return model.ForwardBackward(view, 5, 2, false).weighted_loss;
  };
  EXPECT_NEAR((loss_at(1e-3f) - loss_at(-1e-3f)) / 2e-3 / want, 1, 5e-3);
}

TEST(Transformer, AccumulationAddsAndFewerRowsAreFine) {
  configs::ModelConfig config = TinyConfig();
  tensor::Stream stream(2);
  Transformer model(config, {.max_rows = 4, .with_gradients = true}, stream);
  FillWeights(model);
  const auto four = TinyBatch(config, 4);
  model.ForwardBackward(testing::View(four, kSamples), 1, 1, false);
  const std::vector<float> whole(model.gradients().as<float>(),
                                 model.gradients().as<float>() + model.gradients().count);
  for (int64_t r = 0; r < 4; ++r) {  // one row at a time
    const auto cut = [&](const auto& v) {
      return std::vector(v.begin() + r * config.seq_len, v.begin() + (r + 1) * config.seq_len);
    };
    const testing::ReferenceBatch row{1, cut(four.tokens), cut(four.targets), cut(four.span_start),
                                      cut(four.weights)};
    model.ForwardBackward(testing::View(row, {kSamples[static_cast<size_t>(r)]}), 1, 1, r > 0);
  }
  const std::vector<float> parts(model.gradients().as<float>(),
                                 model.gradients().as<float>() + model.gradients().count);
  EXPECT_LT(testing::RelativeError(parts, whole), 1e-5);
}

TEST(Transformer, InitialValuesAreDrawnByNameAndIndex) {
  configs::ModelConfig config = TinyConfig();
  tensor::Stream stream(1);
  Transformer model(config, {.max_rows = 1, .with_gradients = false}, stream);
  model.InitializeWeights(4);
  double square = 0;
  const tensor::View wq = model.weight(model.index().layers[0].wq);
  for (int64_t i = 0; i < wq.count; ++i)
    square += static_cast<double>(wq.as<float>()[i] * wq.as<float>()[i]);
  EXPECT_NEAR(std::sqrt(square / static_cast<double>(wq.count)), 0.02, 0.002);
  EXPECT_EQ(model.weight(model.index().final_norm).as<float>()[0], 1);
  const float first = wq.as<float>()[5];
  model.InitializeWeights(5);
  EXPECT_NE(wq.as<float>()[5], first);
}

}  // namespace
}  // namespace moat::model
