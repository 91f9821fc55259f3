// The transformer: memory, initial values, and the passes' outline.
#include "model/transformer.h"

#include <algorithm>
#include <cstring>

#include "core/rng.h"
namespace moat::model {

using tensor::ConstView;
using tensor::View;

Transformer::Transformer(const configs::ModelConfig& config, const TransformerOptions& options,
                         tensor::Stream& stream)
    : config_(config),
      dtype_(options.dtype),
      max_rows_(options.max_rows),
      stream_(stream),
      table_(ParameterTable(config)),
      index_(IndexParameters(config, table_)),
      axis_(options.tensor, {}) {
  layout_ = FlatLayout(table_, axis_.rank(), axis_.size());
  plan_ = PlanActivations(config, {max_rows_, stream.threads(), dtype_, axis_.size()});
  MOAT_CHECK(options.with_master_weights || dtype_ != core::DType::kF32,
             "in f32 the passes read the master weights");
  const int64_t multiple = options.flat_multiple;
  const int64_t total = (layout_.back().end() + multiple - 1) / multiple * multiple;
  if (options.with_master_weights) weights_ = tensor::Tensor(total, core::DType::kF32);
  if (dtype_ != core::DType::kF32) rounded_ = tensor::Tensor(total, dtype_);
  if (options.with_gradients) gradients_ = tensor::Tensor(total, core::DType::kF32);
  arena_ = tensor::Tensor(plan_.total.value, core::DType::kU8);
  axis_ = TensorAxis(options.tensor, Planned("partial_sums"));
  shape_ = LayerShapeOf(config, axis_.size());
  BindParameters();
  for (int64_t l = 0; l < config.layers; ++l) layer_buffers_.push_back(PlannedLayer(l));
  common_ = PlannedCommon();
}

void Transformer::RoundWeights() {
  if (rounded_.count() > 0) tensor::Cast(weights(), rounded_weights(), stream_);
}

void InitialValues(const Parameter& parameter, const parallel::Slice& slice, uint64_t seed,
                   View to) {
  MOAT_CHECK(to.count == slice.elements(), "room for the slice");
  auto* const values = to.as<float>();
  const uint64_t key = core::KeyFromName(seed, parameter.name);
  const auto deviation = static_cast<float>(parameter.deviation);
  const size_t last = slice.begin.size() - 1;
  const int64_t columns = slice.end[last] - slice.begin[last];
  const int64_t first_row = last == 0 ? 0 : slice.begin[0];
  const int64_t stride = parameter.split.global[static_cast<int>(last)];
  for (int64_t i = 0; i < slice.elements(); ++i) {
    const int64_t at = (first_row + i / columns) * stride + slice.begin[last] + i % columns;
    values[i] = parameter.init == Init::kNormal
                    ? deviation * core::RandomNormal(key, static_cast<uint64_t>(at))
                    : (parameter.init == Init::kOnes ? 1.0f : 0.0f);
  }
}

void Transformer::InitializeWeights(uint64_t seed) {
  for (size_t p = 0; p < table_.size(); ++p) {
    InitialValues(table_[p], parallel::LocalSlice(table_[p].split, axis_.rank(), axis_.size()),
                  seed, weight(static_cast<int>(p)));
  }
  RoundWeights();
}

tensor::AttentionShape Transformer::AttentionOf(const MicroBatch& batch) const {
  return {batch.rows,      config_.seq_len,   shape_.heads,
          shape_.kv_heads, shape_.head_width, kAttentionTile};
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

void Transformer::EmbedTokens(ConstView tokens, ConstView positions, View hidden) {
  tensor::Embed(tokens, PassWeight(index_.embedding), hidden, config_.width, false, stream_);
  if (index_.position != kAbsent) {
    tensor::Embed(positions, PassWeight(index_.position), hidden, config_.width, true, stream_);
  }
}

void Transformer::OutputProduct(ConstView normed, View logits) {
  tensor::MatMul(false, true, normed.count / config_.width, config_.vocab_size, config_.width,
                 normed, PassWeight(index_.output), {}, logits, false, stream_);
}

void Transformer::ForwardLayers(const MicroBatch& batch) {
  LoadBatch(batch);
  const CommonBuffers at = CommonFor(batch.rows);
  const View first = LayerFor(0, batch.rows).input;
  EmbedTokens(at.tokens, at.positions, first);
  tensor::Dropout(first, config_.width, DropoutFor(batch, 0), stream_);
  for (int64_t l = 0; l < config_.layers; ++l) ForwardLayer(batch, l);
  NormForward(final_norm_, at.final_input, at.final_norm, stream_);
}

void Transformer::ForwardLayer(const MicroBatch& batch, int64_t l) {
  const LayerBuffers at = LayerFor(l, batch.rows);
  const CommonBuffers common = CommonFor(batch.rows);
  const LayerContext context = ContextFor(common);
  const View next = l + 1 < config_.layers ? LayerFor(l + 1, batch.rows).input : common.final_input;
  BeforeAttention(context, layer(l), at);
  tensor::Attention(AttentionOf(batch), common.span_start, at.qkv, at.attention, at.log_sum,
                    common.workspace, stream_);
  AfterAttention(context, layer(l), at, DropoutFor(batch, AttentionPlace(l)),
                 DropoutFor(batch, FfnPlace(l)), common.branch, next);
}

LossSums Transformer::ForwardBackward(const MicroBatch& batch, uint64_t seed, int64_t step,
                                      bool accumulate, const OnGradReady& on_ready) {
  MOAT_CHECK(gradients_.count() > 0, "a model without gradients");
  seed_ = seed;
  step_ = step;
  dropout_ = config_.dropout;
  ForwardLayers(batch);
  const LossSums sums = Loss(batch, true, accumulate);
  BackwardLayers(
      batch, accumulate, on_ready ? on_ready : [](int) {});
  return sums;
}

namespace {

// Of groups of neighbours, those that exist.
void Announce(const OnGradReady& ready, std::initializer_list<std::pair<int, int>> groups) {
  for (const auto& [first, count] : groups) {
    for (int i = count - 1; first != kAbsent && i >= 0; --i) ready(first + i);
  }
}

}  // namespace

void Transformer::BackwardLayers(const MicroBatch& batch, bool accumulate,
                                 const OnGradReady& ready) {
  const CommonBuffers common = CommonFor(batch.rows);
  const LayerContext context = ContextFor(common);
  if (index_.output != index_.embedding) ready(index_.output);
  NormBackward(final_norm_, common.final_input, common.final_norm, common.gradient.residual,
               common.gradient.residual, accumulate, stream_);
  Announce(ready, {{index_.final_norm_bias, 1}, {index_.final_norm, 1}});
  for (int64_t l = config_.layers - 1; l >= 0; --l) {
    const LayerBuffers at = LayerFor(l, batch.rows);
    const LayerIndex& p = index_.layers[static_cast<size_t>(l)];
    BackwardFfn(context, layer(l), at, common.gradient, DropoutFor(batch, FfnPlace(l)), accumulate);
    Announce(ready, {{p.b_down, 1},
                     {p.w_down, 1},
                     {p.b_in, p.in_count},
                     {p.w_in, p.in_count},
                     {p.ffn_norm_bias, 1},
                     {p.ffn_norm, 1}});
    BackwardAttention(context, layer(l), at, common.gradient, DropoutFor(batch, AttentionPlace(l)),
                      AttentionOf(batch), common.span_start, common.workspace, accumulate);
    Announce(ready, {{p.bo, 1},
                     {p.wo, 1},
                     {p.bq, 3},
                     {p.wq, 3},
                     {p.attention_norm_bias, 1},
                     {p.attention_norm, 1}});
  }
  BackwardEmbedding(batch, accumulate);
  Announce(ready, {{index_.position, 1}, {index_.embedding, 1}});
}

void Transformer::BackwardEmbedding(const MicroBatch& batch, bool accumulate) {
  const CommonBuffers at = CommonFor(batch.rows);
  const View residual = at.gradient.residual;
  tensor::Dropout(residual, config_.width, DropoutFor(batch, 0), stream_);
  // Look-ups add to their gradient. A tied embedding's was written by the output product already.
  const auto look_up = [&](ConstView ids, int parameter, bool fresh) {
    const View table = gradient(parameter);
    if (fresh) std::memset(table.data, 0, static_cast<size_t>(table.bytes().value));
    tensor::EmbedGrad(ids, residual, table, config_.width, stream_);
  };
  look_up(at.tokens, index_.embedding, !accumulate && !config_.tie_embeddings);
  if (index_.position != kAbsent) look_up(at.positions, index_.position, !accumulate);
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
  OutputProduct(CommonFor(batch.rows).final_norm.y,
                tensor::HostView(logits, tokens * config_.vocab_size));
}

// Losses of slots [begin, begin + rows), and in `dlogits`, where not empty, the gradient.
void Transformer::ChunkLoss(const CommonBuffers& at, int64_t begin, int64_t rows, View dlogits) {
  const int64_t vocab = config_.vocab_size;
  for (int64_t done = 0; done < rows; done += kLossRows) {
    const int64_t count = std::min(kLossRows, rows - done);
    const View logits = at.logits.Range(0, count * vocab);
    OutputProduct(at.final_norm.y.Range((begin + done) * config_.width, count * config_.width),
                  logits);
    tensor::CrossEntropy(
        logits, at.targets.Range(begin + done, count), at.weights.Range(begin + done, count),
        at.losses.Range(begin + done, count),
        dlogits.empty() ? dlogits : dlogits.Range(done * vocab, count * vocab), stream_);
  }
}

LossSums Transformer::Loss(const MicroBatch& batch, bool gradient, bool accumulate) {
  const int64_t tokens = batch.rows * config_.seq_len;
  const int64_t width = config_.width, vocab = config_.vocab_size;
  const CommonBuffers at = CommonFor(batch.rows);
  for (int64_t begin = 0; begin < tokens; begin += kLossGradientRows) {
    const int64_t rows = std::min(kLossGradientRows, tokens - begin);
    const View dlogits = gradient ? at.gradient_logits.Range(0, rows * vocab) : View{};
    ChunkLoss(at, begin, rows, dlogits);
    if (!gradient) continue;
    const View chunk = at.final_norm.y.Range(begin * width, rows * width);
    tensor::MatMul(false, false, rows, width, vocab, dlogits, PassWeight(index_.output), {},
                   at.gradient.residual.Range(begin * width, rows * width), false, stream_);
    tensor::MatMul(true, false, vocab, width, rows, dlogits, chunk, {},
                   this->gradient(index_.output), accumulate || begin > 0, stream_);
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
