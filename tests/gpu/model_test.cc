// A whole model on every device: as the CPU's in f32, pass by pass and while it learns.
#include "core/error.h"
#include "model/generator.h"
#include "tests/gpu/on_device.h"
#include "tests/model/tiny_model.h"
#include "tests/support/values.h"

namespace moat {
namespace {

using core::DType;
using model::Transformer;
using tensor::HostView;
using tensor::Tensor;

const std::vector<uint64_t> kSamples = {10, 11};
constexpr int kSteps = testing::kEmulated ? 4 : 12;

std::vector<float> Floats(tensor::ConstView view, tensor::Stream& stream) {
  std::vector<float> values(static_cast<size_t>(view.count));
  tensor::Copy(view, HostView(values.data(), view.count), stream);
  stream.Synchronize();
  return values;
}

// Larger weights than training starts with, so that every path matters.
void FillWeights(Transformer& model, tensor::Stream& stream) {
  model.InitializeWeights(3);
  std::vector<float> values = Floats(model.weights(), stream);
  for (float& value : values) value *= 3;
  tensor::Copy(HostView(std::as_const(values).data(), std::ssize(values)), model.weights(), stream);
  stream.Synchronize();
  model.RoundWeights();
}

// What a model does with a few micro-batches.
struct Outcome {
  std::vector<float> initial, gradients, logits, generated;
  double loss = 0, evaluated = 0;
};

Outcome PassesOf(const configs::ModelConfig& config, DType dtype, tensor::Stream& stream) {
  Outcome outcome;
  Transformer model(config, {.max_rows = 2, .dtype = dtype}, stream);
  model.InitializeWeights(3);
  outcome.initial = Floats(model.weights(), stream);
  FillWeights(model, stream);
  const auto batch = testing::TinyBatch(config, 2);
  const auto view = testing::View(batch, kSamples);
  model.ForwardBackward(view, 1, 1, false);
  outcome.loss = model.ForwardBackward(view, 1, 2, true).weighted_loss;  // another mask
  outcome.gradients = Floats(model.gradients(), stream);
  outcome.evaluated = model.Evaluate(view).weighted_loss;
  outcome.logits.resize(static_cast<size_t>(2 * config.seq_len * config.vocab_size));
  model.Logits(view, outcome.logits.data());
  model::Generator generator(model, stream);
  for (const int64_t count : {4, 1, 1}) {  // a prompt, then single tokens
    const auto begin = batch.tokens.begin() + generator.length();
    const std::vector<float> logits = generator.Feed({begin, begin + count});
    outcome.generated.insert(outcome.generated.end(), logits.begin(), logits.end());
  }
  return outcome;
}

class ModelTest : public testing::OnDevice {
 protected:
  // One of each family at least.
  static std::vector<configs::ModelConfig> Configs() {
    if (testing::kEmulated) return {testing::TinyConfig(), testing::TinyGpt2()};
    return testing::TinyFamilies();
  }
};
MOAT_ON_EVERY_DEVICE(ModelTest);

TEST_P(ModelTest, LossesGradientsLogitsAndGenerationAreTheCpus) {
  for (configs::ModelConfig config : Configs()) {
    config.dropout = 0.1;
    tensor::Stream cpu;
    const Outcome want = PassesOf(config, DType::kF32, cpu);
    for (const DType dtype : dtypes()) {
      SCOPED_TRACE(core::Name(dtype));
      const bool f32 = dtype == DType::kF32;
      const Outcome got = PassesOf(config, dtype, stream());
      EXPECT_TRUE(testing::SameBits(got.initial, want.initial));
      EXPECT_NEAR(got.loss / want.loss, 1, f32 ? 1e-5 : 1e-2);
      EXPECT_NEAR(got.evaluated / want.evaluated, 1, f32 ? 1e-5 : 1e-2);
      EXPECT_LT(testing::RelativeError(got.gradients, want.gradients), f32 ? 2e-5 : 5e-2);
      EXPECT_LT(testing::RelativeError(got.logits, want.logits), f32 ? 1e-5 : 2e-2);
      EXPECT_LT(testing::RelativeError(got.generated, want.generated), f32 ? 1e-5 : 2e-2);
      const Outcome again = PassesOf(config, dtype, stream());
      EXPECT_TRUE(testing::SameBits(got.gradients, again.gradients));
      EXPECT_TRUE(testing::SameBits(got.logits, again.logits));
    }
  }
}

// Codes are the CPU's wherever what they are of is, and sums differ in their order, after which a
// number may fall to the other side of a code's edge.
TEST_P(ModelTest, PassesInFp8AreTheCpusAndHaveTheSameBitsEachTime) {
  try {
    tensor::CheckFloat8(stream());
  } catch (const core::ConfigError& error) {
    GTEST_SKIP() << error.what();
  }
  for (configs::ModelConfig config : Configs()) {
    config.width = 32, config.ffn = 48, config.seq_len = 16, config.dropout = 0.1;
    const auto gradients = [&](configs::MatmulDType products, tensor::Stream& on) {
      Transformer model(config, {.max_rows = 2, .dtype = DType::kBF16, .matmul_dtype = products},
                        on);
      model.InitializeWeights(3);
      const auto batch = testing::TinyBatch(config, 2);
      model.ForwardBackward(testing::View(batch, kSamples), 1, 1, false);
      model.ForwardBackward(testing::View(batch, kSamples), 1, 2, true);
      return Floats(model.gradients(), on);
    };
    constexpr auto kFp8 = configs::MatmulDType::kFp8;
    tensor::Stream cpu;
    const auto want = gradients(kFp8, cpu), got = gradients(kFp8, stream());
    EXPECT_TRUE(testing::SameBits(got, gradients(kFp8, stream())));
    const auto bf16 = gradients(configs::MatmulDType::kSame, stream());
    const double from_bf16 = testing::RelativeError(got, bf16);
    EXPECT_GT(from_bf16, 1e-2) << "no product was in FP8";
    EXPECT_LT(testing::RelativeError(got, want), 0.6 * from_bf16);
  }
}

std::vector<double> LossesOf(const configs::ModelConfig& config, DType dtype,
                             tensor::Stream& stream) {
  Transformer model(config, {.max_rows = 2, .dtype = dtype}, stream);
  model.InitializeWeights(3);
  const int64_t n = model.weights().count;
  Tensor moment1(n, DType::kF32, stream.device()), moment2(n, DType::kF32, stream.device());
  const auto batch = testing::TinyBatch(config, 2);
  std::vector<double> losses;
  for (int t = 1; t <= kSteps; ++t) {
    losses.push_back(
        model.ForwardBackward(testing::View(batch, kSamples), 1, t, false).weighted_loss);
    const tensor::AdamWStep step = testing::TinyUpdate(t, 1e-2f, 1);
    tensor::AdamW(step, model.gradients(), moment1.view(), moment2.view(), model.weights(),
                  model.rounded_weights(), stream);
  }
  return losses;
}

TEST_P(ModelTest, LearnsAsTheCpuDoes) {
  for (const configs::ModelConfig& config : Configs()) {
    tensor::Stream cpu;
    const std::vector<double> want = LossesOf(config, DType::kF32, cpu);
    EXPECT_LT(want.back(), 0.95 * want.front());
    for (const DType dtype : dtypes()) {
      const std::vector<double> got = LossesOf(config, dtype, stream());
      for (size_t t = 0; t < got.size(); ++t) {
        EXPECT_NEAR(got[t] / want[t], 1, dtype == DType::kF32 ? 1e-4 : 5e-2) << "step " << t;
      }
    }
  }
}

}  // namespace
}  // namespace moat
