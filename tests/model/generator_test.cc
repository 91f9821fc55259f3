// Generation equals the whole forward pass; sampling follows its distribution.
#include "model/generator.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/model/tiny_model.h"
#include "tests/support/values.h"

namespace moat::model {
namespace {

class GeneratorTest : public ::testing::TestWithParam<configs::ModelConfig> {};

TEST_P(GeneratorTest, TokenByTokenEqualsTheWholeForwardPass) {
  const configs::ModelConfig& config = GetParam();
  tensor::Stream stream(2);
  Transformer model(config, {.max_rows = 1, .with_gradients = false}, stream);
  model.InitializeWeights(3);
  for (int64_t i = 0; i < model.weights().count; ++i) model.weights().as<float>()[i] *= 10;
  testing::ReferenceBatch batch = testing::TinyBatch(config, 1);
  std::vector<float> whole(static_cast<size_t>(config.seq_len * config.vocab_size));
  const std::vector<uint64_t> samples = {0};
  model.Logits(testing::View(batch, samples), whole.data());
  Generator generator(model, stream);
  for (int64_t fed = 0; fed < config.seq_len;) {
    const int64_t count =
        std::min<int64_t>(fed == 0 ? 4 : 1, config.seq_len - fed);  // a prompt, then single tokens
    const auto logits =
        generator.Feed({batch.tokens.begin() + fed, batch.tokens.begin() + fed + count});
    fed += count;
    const auto row = whole.begin() + (fed - 1) * config.vocab_size;
    EXPECT_LT(testing::RelativeError(logits, std::vector<float>(row, row + config.vocab_size)),
              1e-5)
        << fed;
  }
  EXPECT_THROW(generator.Feed({1}), core::BugError);
}

INSTANTIATE_TEST_SUITE_P(Families, GeneratorTest, ::testing::ValuesIn(testing::TinyFamilies()));

TEST(SampleToken, GreedyTakesTheMostLikelyThatIsNotBanned) {
  EXPECT_EQ(SampleToken({1, 5, 3}, {.temperature = 0}, 0, {}), 1);
  EXPECT_EQ(SampleToken({1, 5, 3}, {.temperature = 0}, 0, {1}), 2);
}

TEST(SampleToken, FrequenciesFollowTheSoftmaxAndLimitsCut) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  const auto frequencies = [&](const Sampling& sampling) {
    std::map<int32_t, double> counts;
    for (uint64_t draw = 0; draw < 20000; ++draw)
      counts[SampleToken(logits, sampling, draw, {})] += 1 / 20000.0;
    return counts;
  };
  auto plain = frequencies({.temperature = 1});
  EXPECT_NEAR(plain[0], 0.5, 0.015);
  EXPECT_NEAR(plain[2], 0.2, 0.015);
  auto two = frequencies({.temperature = 1, .top_k = 2});
  EXPECT_NEAR(two[0], 0.625, 0.015);
  EXPECT_EQ(two[2], 0);
  auto nucleus = frequencies({.temperature = 1, .top_p = 0.7});
  EXPECT_NEAR(nucleus[0], 0.625, 0.015);
  EXPECT_EQ(nucleus[2], 0);
  auto sharp = frequencies({.temperature = 0.5});
  EXPECT_NEAR(sharp[0], 0.25 / 0.38, 0.015);
}

}  // namespace
}  // namespace moat::model
