// AdamW over the model's flat buffers: owns the moments, knows which parameters decay.
#pragma once

#include <cstdint>
#include <vector>

#include "configs/train_config.h"
#include "model/transformer.h"

namespace moat::trainer {

class Optimizer {
 public:
  Optimizer(const configs::TrainConfig& config, model::Transformer& model, tensor::Stream& stream);

  tensor::View moment1() { return moment1_.view(); }  // flat, f32, as the model's weights
  tensor::View moment2() { return moment2_.view(); }
  int64_t updates() const { return updates_; }  // done so far; skipped steps do not count
  void set_updates(int64_t updates) { updates_ = updates; }

  // Norm of the whole model's gradients: sums of squares per fixed block in f64, summed over the
  // tensor group, then in order of parameters. Collective there; the same bits on every rank.
  double GradientNorm();

  // One update with every gradient multiplied by `gradient_scale` first.
  void Update(double learning_rate, double gradient_scale);

 private:
  const configs::TrainConfig& config_;
  model::Transformer& model_;
  tensor::Stream& stream_;
  tensor::Tensor moment1_, moment2_;
  std::vector<double> squares_;  // by parameter: planned once
  int64_t updates_ = 0;
};

}  // namespace moat::trainer
