// The transformer: memory, initial values, and the passes' outline.
#include "model/transformer.h"

#include <algorithm>
#include <cstring>

#include "core/rng.h"
#include "model/layer_views.h"

namespace moat::model {

using tensor::ConstView;
using tensor::View;

Transformer::Transformer(const configs::ModelConfig& config, int64_t max_rows, bool with_gradients,
                         tensor::Stream& stream)
    : config_(config),
      max_rows_(max_rows),
      stream_(stream),
      table_(ParameterTable(config)),
      layout_(FlatLayout(table_, 0, 1)),
      plan_(PlanActivations(config, max_rows, stream.threads())) {
  const int64_t total = layout_.back().begin + layout_.back().count;
  weights_ = tensor::Tensor(total, core::DType::kF32);
  if (with_gradients) gradients_ = tensor::Tensor(total, core::DType::kF32);
  arena_ = tensor::Tensor(plan_.total.value, core::DType::kU8);
  for (int64_t l = 0; l < config.layers; ++l) layers_.push_back(PlannedLayer(l));
  common_ = PlannedCommon();
}

View Transformer::weight(int parameter) {
  const FlatRange& range = layout_[static_cast<size_t>(parameter)];
  return weights_.view().Range(range.begin, range.count);
}

View Transformer::gradient(int parameter) {
  const FlatRange& range = layout_[static_cast<size_t>(parameter)];
  return gradients_.view().Range(range.begin, range.count);
}

namespace {

View Neighbours(View flat, const std::vector<FlatRange>& layout, int first, int count) {
  const FlatRange& begin = layout[static_cast<size_t>(first)];
  const FlatRange& end = layout[static_cast<size_t>(first + count - 1)];
  return flat.Range(begin.begin, end.begin + end.count - begin.begin);
}

}  // namespace

View Transformer::WeightGroup(int first, int count) {
  return Neighbours(weights_.view(), layout_, first, count);
}

View Transformer::GradientGroup(int first, int count) {
  return Neighbours(gradients_.view(), layout_, first, count);
}

void Transformer::InitializeWeights(uint64_t seed) {
  for (size_t p = 0; p < table_.size(); ++p) {
    float* values = weight(static_cast<int>(p)).as<float>();
    const Parameter& parameter = table_[p];
    const uint64_t key = core::KeyFromName(seed, parameter.name);
    const parallel::Slice slice = parallel::LocalSlice(parameter.split, 0, 1);
    const auto deviation = static_cast<float>(parameter.deviation);
    for (int64_t i = 0; i < slice.elements(); ++i) {
      switch (parameter.init) {
        case Init::kOnes:
          values[i] = 1;
          break;
        case Init::kZeros:
          values[i] = 0;
          break;
        case Init::kNormal:
          values[i] = deviation * core::RandomNormal(key, static_cast<uint64_t>(i));
          break;
      }
    }
  }
}

tensor::AttentionShape Transformer::AttentionOf(const MicroBatch& batch) const {
  return {batch.rows,       config_.seq_len,      config_.heads,
          config_.kv_heads, config_.head_width(), kAttentionTile};
}

tensor::DropoutKey Transformer::DropoutFor(const MicroBatch& batch, int64_t place) const {
  const uint64_t key = core::KeyFromName(
      core::Mix64(seed_) + core::Mix64(static_cast<uint64_t>(step_)) + static_cast<uint64_t>(place),
      "dropout");
  return {key, batch.samples, config_.seq_len, static_cast<float>(dropout_)};
}

void Transformer::LoadBatch(const MicroBatch& batch) {
  MOAT_CHECK(batch.rows >= 1 && batch.rows <= max_rows_, "more rows than planned");
  const int64_t tokens = batch.rows * config_.seq_len;
  const CommonBuffers at = CommonFor(batch.rows);
  const auto size = static_cast<size_t>(tokens) * sizeof(int32_t);
  std::memcpy(at.tokens.data, batch.tokens, size);
  std::memcpy(at.targets.data, batch.targets, size);
  std::memcpy(at.span_start.data, batch.span_start, size);
  std::memcpy(at.weights.data, batch.weights, size);
  auto* positions = at.positions.as<int32_t>();
  for (int64_t t = 0; t < tokens; ++t) {
    const auto slot = static_cast<int32_t>(t % config_.seq_len);
    MOAT_CHECK(batch.span_start[t] >= 0 && batch.span_start[t] <= slot,
               "a span starts after its slot");
    positions[t] = slot - batch.span_start[t];
  }
}

LossSums Transformer::ForwardBackward(const MicroBatch& batch, uint64_t seed, int64_t step,
                                      bool accumulate, const OnGradReady& on_ready) {
  MOAT_CHECK(gradients_.count() > 0, "a model without gradients");
  seed_ = seed;
  step_ = step;
  dropout_ = config_.dropout;
  const OnGradReady ready = on_ready ? on_ready : [](int) {};
  ForwardLayers(batch);
  const LossSums sums = Loss(batch, true, accumulate);
  const CommonBuffers at = CommonFor(batch.rows);
  const int final_norm = LayerIndex(config_.layers, kAttentionNorm);
  tensor::RmsNormGrad(at.final_input, weight(final_norm), at.final_inverse, at.gradient,
                      at.gradient, gradient(final_norm), accumulate, stream_);
  if (!config_.tie_embeddings) ready(final_norm + 1);
  ready(final_norm);
  for (int64_t l = config_.layers - 1; l >= 0; --l) BackwardLayer(batch, l, accumulate, ready);
  // Tied: the output product has written this gradient already. Untied: a fresh sum starts at zero.
  const View embedding = gradient(0);
  if (!config_.tie_embeddings && !accumulate)
    std::memset(embedding.data, 0, static_cast<size_t>(embedding.bytes().value));
  tensor::Dropout(at.gradient, config_.width, DropoutFor(batch, 0), stream_);
  tensor::EmbedGrad(at.tokens, at.gradient, embedding, config_.width, stream_);
  ready(0);
  return sums;
}

LossSums Transformer::Evaluate(const MicroBatch& batch, float* losses) {
  dropout_ = 0;
  ForwardLayers(batch);
  const LossSums sums = Loss(batch, false, false);
  if (losses) {
    const View from = CommonFor(batch.rows).losses;
    std::memcpy(losses, from.data, static_cast<size_t>(from.bytes().value));
  }
  return sums;
}

void Transformer::Logits(const MicroBatch& batch, float* logits) {
  dropout_ = 0;
  ForwardLayers(batch);
  const int64_t tokens = batch.rows * config_.seq_len;
  const int output = config_.tie_embeddings ? 0 : static_cast<int>(table_.size()) - 1;
  tensor::MatMul(false, true, tokens, config_.vocab_size, config_.width,
                 CommonFor(batch.rows).final_norm, weight(output), {},
                 tensor::HostView(logits, tokens * config_.vocab_size), false, stream_);
}

// Logits exist for kLossRows slots at a time; their gradient replaces them and is used up at once.
LossSums Transformer::Loss(const MicroBatch& batch, bool gradient, bool accumulate) {
  const int64_t tokens = batch.rows * config_.seq_len;
  const int64_t width = config_.width, vocab = config_.vocab_size;
  const int output = config_.tie_embeddings ? 0 : static_cast<int>(table_.size()) - 1;
  const CommonBuffers at = CommonFor(batch.rows);
  for (int64_t begin = 0; begin < tokens; begin += kLossRows) {
    const int64_t rows = std::min(kLossRows, tokens - begin);
    const View chunk = at.final_norm.Range(begin * width, rows * width);
    const View logits = at.logits.Range(0, rows * vocab);
    tensor::MatMul(false, true, rows, vocab, width, chunk, weight(output), {}, logits, false,
                   stream_);
    tensor::CrossEntropy(logits, at.targets.Range(begin, rows), at.weights.Range(begin, rows),
                         at.losses.Range(begin, rows), gradient ? logits : View{}, stream_);
    if (!gradient) continue;
    tensor::MatMul(false, false, rows, width, vocab, logits, weight(output), {},
                   at.gradient.Range(begin * width, rows * width), false, stream_);
    tensor::MatMul(true, false, vocab, width, rows, logits, chunk, {}, this->gradient(output),
                   accumulate || begin > 0, stream_);
  }
  stream_.Synchronize();
  LossSums sums;
  for (int64_t t = 0; t < tokens; ++t) {
    sums.weighted_loss += static_cast<double>(at.losses.as<float>()[t]);
    sums.weight += static_cast<double>(batch.weights[t]);
  }
  return sums;
}

}  // namespace moat::model
