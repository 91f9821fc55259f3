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
      moment2_(model.weights().count, core::DType::kF32),
      squares_(model.parameters().size()) {}

double Optimizer::GradientNorm() {
  for (size_t p = 0; p < squares_.size(); ++p) {
    // What every tensor rank holds whole counts once.
    const bool counts = !model_.parameters()[p].split.replicated() || model_.axis().rank() == 0;
    squares_[p] =
        counts ? tensor::SumOfSquares(model_.gradient(static_cast<int>(p)), stream_) : 0.0;
  }
  model_.axis().SumInPlace(tensor::HostView(squares_.data(), static_cast<int64_t>(squares_.size())),
                           stream_);
  double sum = 0;
  for (const double square : squares_) sum += square;
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
  const tensor::View rounded = model_.rounded_weights();
  for (size_t p = 0; p < model_.parameters().size(); ++p) {
    const model::FlatRange& range = model_.layout()[p];
    step.weight_decay =
        model_.parameters()[p].decays ? static_cast<float>(config_.weight_decay) : 0.0f;
    tensor::AdamW(step, model_.gradients().Range(range.begin, range.count),
                  moment1_.view().Range(range.begin, range.count),
                  moment2_.view().Range(range.begin, range.count),
                  model_.weights().Range(range.begin, range.count),
                  rounded.empty() ? rounded : rounded.Range(range.begin, range.count), stream_);
  }
}

}  // namespace moat::trainer
