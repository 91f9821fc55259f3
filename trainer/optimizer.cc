// AdamW over the model's parameters.
#include "trainer/optimizer.h"

#include <cmath>

namespace moat::trainer {

Optimizer::Optimizer(const configs::TrainConfig& config, model::Transformer& model,
                     tensor::Stream& stream)
    : config_(config),
      model_(model),
      stream_(stream),
      moment1_(model.weights().count, core::DType::kF32),
      moment2_(model.weights().count, core::DType::kF32) {}

double Optimizer::GradientNorm() {
  double sum = 0;
  for (size_t p = 0; p < model_.parameters().size(); ++p) {
    sum += tensor::SumOfSquares(model_.gradient(static_cast<int>(p)), stream_);
  }
  return std::sqrt(sum);
}

void Optimizer::Update(double learning_rate, double gradient_scale) {
  ++updates_;
  const auto t = static_cast<double>(updates_);
  tensor::AdamWStep step{};
  step.learning_rate = static_cast<float>(learning_rate);
  step.beta1 = static_cast<float>(config_.beta1);
  step.beta2 = static_cast<float>(config_.beta2);
  step.epsilon = static_cast<float>(config_.adam_epsilon);
  step.correction1 = static_cast<float>(1 - std::pow(config_.beta1, t));
  step.correction2 = static_cast<float>(1 - std::pow(config_.beta2, t));
  step.gradient_scale = static_cast<float>(gradient_scale);
  for (size_t p = 0; p < model_.parameters().size(); ++p) {
    const model::FlatRange& range = model_.layout()[p];
    step.weight_decay =
        model_.parameters()[p].decays ? static_cast<float>(config_.weight_decay) : 0.0f;
    tensor::AdamW(step, model_.gradients().Range(range.begin, range.count),
                  moment1_.view().Range(range.begin, range.count),
                  moment2_.view().Range(range.begin, range.count),
                  model_.weights().Range(range.begin, range.count), {}, stream_);
  }
}

}  // namespace moat::trainer
