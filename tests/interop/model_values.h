// What a model makes of a batch, and how far two such answers are apart.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "model/transformer.h"
#include "tests/interop/reference_file.h"
#include "tests/support/values.h"

namespace moat::testing {

using Tensors = std::map<std::string, std::vector<float>>;  // by names of the parameter table

// A case of the model and its batch, to be spoilt by a test before it is run.
struct ModelCase {
  configs::ModelConfig config;
  Tensors weights;
  std::vector<int32_t> tokens, targets, span_start;
  std::vector<float> loss_weights;

  explicit ModelCase(const ReferenceFile& file)
      : config(file.config()),
        tokens(file.Values<int32_t>("batch/tokens")),
        targets(file.Values<int32_t>("batch/targets")),
        span_start(file.Values<int32_t>("batch/span_start")),
        loss_weights(file.Values<float>("batch/weights")) {
    for (const auto& parameter : model::ParameterTable(config)) {
      weights[parameter.name] = file.Values<float>("weight/" + parameter.name);
    }
  }
};

struct ModelValues {
  std::vector<float> logits;
  double loss = 0, evaluated_loss = 0;  // sum(w * l): of the pass with gradients, and without
  double weight = 0;                    // sum(w)
  Tensors gradients;
};

inline void FillWeights(model::Transformer& model, const Tensors& weights) {
  for (size_t p = 0; p < model.parameters().size(); ++p) {
    const auto& values = weights.at(model.parameters()[p].name);
    const tensor::View to = model.weight(static_cast<int>(p));
    MOAT_CHECK(to.count == static_cast<int64_t>(values.size()), "a weight of another size");
    std::copy(values.begin(), values.end(), to.as<float>());
  }
  model.RoundWeights();
}

inline ModelValues ValuesOf(const ModelCase& of, core::DType dtype = core::DType::kF32) {
  tensor::Stream stream(2);
  const auto slots = static_cast<int64_t>(of.tokens.size());
  const int64_t rows = slots / of.config.seq_len;
  model::Transformer model(of.config, {.max_rows = rows, .dtype = dtype}, stream);
  FillWeights(model, of.weights);
  const std::vector<uint64_t> samples(static_cast<size_t>(rows));
  const model::MicroBatch batch{rows,
                                of.tokens.data(),
                                of.targets.data(),
                                of.loss_weights.data(),
                                of.span_start.data(),
                                samples.data()};
  ModelValues values;
  values.logits.resize(static_cast<size_t>(slots * of.config.vocab_size));
  model.Logits(batch, values.logits.data());
  values.evaluated_loss = model.Evaluate(batch).weighted_loss;
  const model::LossSums sums = model.ForwardBackward(batch, 1, 1, false);
  values.loss = sums.weighted_loss;
  values.weight = sums.weight;
  for (size_t p = 0; p < model.parameters().size(); ++p) {
    const tensor::View g = model.gradient(static_cast<int>(p));
    values.gradients[model.parameters()[p].name].assign(g.as<float>(), g.as<float>() + g.count);
  }
  return values;
}

inline ModelValues ReferenceValues(const ReferenceFile& file) {
  ModelValues values;
  values.logits = file.Values<float>("logits");
  const auto loss = file.Values<double>("loss");
  values.loss = values.evaluated_loss = loss[0];
  values.weight = loss[1];
  const std::string prefix = "gradient/";
  for (const auto& name : file.names()) {
    if (name.starts_with(prefix)) {
      values.gradients[name.substr(prefix.size())] = file.Values<float>(name);
    }
  }
  return values;
}

// In relative L2; a loss in relative difference.
struct Bounds {
  double logits, loss, gradients;
};

inline double Norm(const std::vector<float>& values) {
  double sum = 0;
  for (const float v : values) sum += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(sum);
}

inline double NormOfAll(const Tensors& tensors) {
  double square = 0;
  for (const auto& [name, values] : tensors) square += std::pow(Norm(values), 2);
  return std::sqrt(square);
}

// A gradient's distance from `want`, relative to want's norm. That of a key's bias is zero (it adds
// the same to every score of a query), so there is nothing to be relative to but `all`, the norm
// over all parameters: a hundredth of it, about what its neighbours have.
inline double GradientDistance(const std::vector<float>& got, const std::vector<float>& want,
                               double all) {
  if (Norm(want) < 1e-9 * all) return Norm(got) / (0.01 * all);
  return RelativeError(got, want);
}

inline double FarthestGradient(const ModelValues& got, const ModelValues& want) {
  const double all = NormOfAll(want.gradients);
  double farthest = 0;
  for (const auto& [name, gradient] : want.gradients) {
    farthest = std::max(farthest, GradientDistance(got.gradients.at(name), gradient, all));
  }
  return farthest;
}

// What `got` has that is too far from `want`: "logits", "loss", "gradient/<parameter>"; empty when
// they agree.
inline std::vector<std::string> Disagreements(const ModelValues& got, const ModelValues& want,
                                              const Bounds& bounds) {
  std::vector<std::string> found;
  const auto check = [&](const std::string& what, double distance, double bound) {
    if (!(distance <= bound)) found.push_back(what);
  };
  if (got.logits.size() != want.logits.size()) return {"number of logits"};
  check("logits", RelativeError(got.logits, want.logits), bounds.logits);
  check("loss", std::abs(got.loss / want.loss - 1), bounds.loss);
  check("evaluated loss", std::abs(got.evaluated_loss / want.evaluated_loss - 1), bounds.loss);
  if (got.weight != want.weight) found.push_back("weight");
  if (got.gradients.size() != want.gradients.size()) found.push_back("number of parameters");
  const double all = NormOfAll(want.gradients);
  for (const auto& [name, gradient] : want.gradients) {
    const auto at = got.gradients.find(name);
    if (at == got.gradients.end() || at->second.size() != gradient.size()) {
      found.push_back("size of " + name);
      continue;
    }
    check("gradient/" + name, GradientDistance(at->second, gradient, all), bounds.gradients);
  }
  return found;
}

}  // namespace moat::testing
