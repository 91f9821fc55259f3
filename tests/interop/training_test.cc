// Two hundred steps of training have PyTorch's losses, one by one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comm/self.h"
#include "tests/interop/model_values.h"
#include "tests/interop/pattern.h"
#include "trainer/training_step.h"

namespace moat::testing {
namespace {

configs::TrainConfig TrainConfigOf(const ReferenceFile& file) {
  const auto json = nlohmann::json::parse(file.metadata("training"));
  configs::TrainConfig c;
  c.model = file.config();
  c.steps = json.at("steps");
  c.global_batch = json.at("global_batch");
  c.micro_batch = json.at("micro_batch");
  c.lr = json.at("lr");
  c.min_lr = json.at("min_lr");
  c.warmup = json.at("warmup");
  c.weight_decay = json.at("weight_decay");
  c.beta1 = json.at("beta1");
  c.beta2 = json.at("beta2");
  c.adam_epsilon = json.at("adam_epsilon");
  c.clip = json.at("clip");
  return c;
}

constexpr int64_t kWeightlessStep = 100;  // as in make_references.py

struct Course {
  std::vector<double> losses, norms;
};

Course Train(const ReferenceFile& file, const configs::TrainConfig& config) {
  tensor::Stream stream(1);
  const auto self = comm::MakeSelf();
  model::Transformer model(config.model, trainer::ModelOptions(config, 1, nullptr), stream);
  Tensors weights;
  for (const auto& p : model.parameters()) {
    weights[p.name] = file.Values<float>("weight/" + p.name);
  }
  FillWeights(model, weights);
  trainer::Optimizer optimizer(config, model, *self, stream);
  trainer::TrainingStep training(
      config, parallel::MakeCanonicalWays(config.global_batch, config.micro_batch, 1, 0), model,
      optimizer, {*self, *self, *self}, stream);
  Draw draw(1);
  Course course;
  for (int64_t step = 1; step <= config.steps; ++step) {
    int64_t row = 0;
    const auto next = [&] {
      data::Batch batch;
      batch.seq_len = config.model.seq_len;
      for (int64_t i = 0; i < config.micro_batch; ++i, ++row) {
        AppendRow(draw, config.model.vocab_size, row % 2 == 1, step == kWeightlessStep, &batch);
      }
      return batch;
    };
    const trainer::StepResult result =
        training.Run(step, next, [] { return trainer::ControlWords{}; });
    course.losses.push_back(result.loss);
    course.norms.push_back(result.grad_norm);
  }
  return course;
}

double Farthest(const std::vector<double>& got, const std::vector<double>& want) {
  double farthest = got.size() == want.size() ? 0 : INFINITY;
  for (size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
    farthest = std::max(farthest, std::abs(got[i] - want[i]));
  }
  return farthest;
}

constexpr double kBound = 1e-4;  // of each loss, in nats; 1.3e-6 was seen

class TrainingTest : public ::testing::TestWithParam<const char*> {
 protected:
  const ReferenceFile file_{std::string(GetParam()) + "_training"};
  const std::vector<double> want_ = file_.Values<double>("losses");
};

TEST_P(TrainingTest, EveryLossOf200StepsIsPyTorchs) {
  const Course course = Train(file_, TrainConfigOf(file_));
  EXPECT_LT(Farthest(course.losses, want_), kBound);
  EXPECT_LT(Farthest(course.norms, file_.Values<double>("norms")), 10 * kBound);
}

TEST_P(TrainingTest, TheCourseFallsIsClippedAtTimesAndHasAStepWithoutWeight) {
  ASSERT_EQ(want_.size(), 200u);
  EXPECT_LT(want_.back(), 0.5 * want_.front());
  EXPECT_EQ(want_[kWeightlessStep - 1], 0);
  const double clip = TrainConfigOf(file_).clip;
  const auto norms = file_.Values<double>("norms");
  const auto clipped =
      std::count_if(norms.begin(), norms.end(), [&](double norm) { return norm > clip; });
  EXPECT_GT(clipped, 40);
  EXPECT_LT(clipped, 160);
}

TEST_P(TrainingTest, AnotherOptimizerIsSeen) {
  using Change = std::function<void(configs::TrainConfig&)>;
  const std::pair<const char*, Change> changes[] = {
      {"no decay", [](auto& c) { c.weight_decay = 0; }},
      {"no clipping", [](auto& c) { c.clip = 0; }},
      {"a longer warm-up", [](auto& c) { c.warmup = 21; }},
      {"another end of the cosine", [](auto& c) { c.min_lr = 0.11; }},
      {"another beta2", [](auto& c) { c.beta2 = 0.951; }},
      {"another beta1", [](auto& c) { c.beta1 = 0.901; }},
      {"another epsilon", [](auto& c) { c.adam_epsilon = 1e-6; }},
  };
  for (const auto& [name, change] : changes) {
    configs::TrainConfig config = TrainConfigOf(file_);
    change(config);
    EXPECT_GT(Farthest(Train(file_, config).losses, want_), kBound) << name;
  }
}

// PyTorch says what losses each mistake would have. The trainer is at none of them.
TEST_P(TrainingTest, TheTrainerMakesNoMistakePyTorchWasAskedFor) {
  const auto got = Train(file_, TrainConfigOf(file_)).losses;
  int mistakes = 0;
  for (const auto& name : file_.names()) {
    if (!name.starts_with("mistake/")) continue;
    EXPECT_GT(Farthest(got, file_.Values<double>(name)), 10 * kBound) << name;
    ++mistakes;
  }
  EXPECT_EQ(mistakes, 5);
}

INSTANTIATE_TEST_SUITE_P(All, TrainingTest, ::testing::Values("llama", "gpt2"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace moat::testing
