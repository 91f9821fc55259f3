// Generation: an incremental forward pass over the same weights and ops as training, and sampling.
#include "model/generator.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "core/rng.h"

namespace moat::model {

using tensor::HostView;
using tensor::View;

namespace {

// Indices of the allowed tokens, most likely first; ties by index.
std::vector<int32_t> ByLikelihood(const std::vector<float>& logits,
                                  const std::vector<int32_t>& banned) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase_if(
      order, [&](int32_t t) { return std::find(banned.begin(), banned.end(), t) != banned.end(); });
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  return order;
}

}  // namespace

int32_t SampleToken(const std::vector<float>& logits, const Sampling& sampling, uint64_t draw,
                    const std::vector<int32_t>& banned) {
  std::vector<int32_t> order = ByLikelihood(logits, banned);
  MOAT_CHECK(!order.empty(), "every token is banned");
  if (sampling.temperature == 0) return order[0];
  if (sampling.top_k > 0 && static_cast<int64_t>(order.size()) > sampling.top_k) {
    order.resize(static_cast<size_t>(sampling.top_k));
  }
  const double top = static_cast<double>(logits[static_cast<size_t>(order[0])]);
  std::vector<double> mass;
  double total = 0;
  for (const int32_t token : order) {
    total += std::exp((static_cast<double>(logits[static_cast<size_t>(token)]) - top) /
                      sampling.temperature);
    mass.push_back(total);  // cumulative
  }
  const auto kept = std::lower_bound(mass.begin(), mass.end(), sampling.top_p * total);
  const double limit = kept == mass.end() ? total : *kept;
  const double at =
      static_cast<double>(core::RandomUniform(core::KeyFromName(sampling.seed, "generate"), draw)) *
      limit;
  const auto chosen = std::upper_bound(mass.begin(), mass.end(), at) - mass.begin();
  return order[std::min(static_cast<size_t>(chosen), order.size() - 1)];
}

Generator::Generator(Transformer& model, tensor::Stream& stream)
    : model_(model),
      stream_(stream),
      capacity_(model.config().seq_len),
      logits_(model.config().vocab_size, core::DType::kF32, stream.device()),
      host_logits_(logits_.view().bytes(), stream.device()) {
  MOAT_CHECK(!model.axis().sequence_parallel(), "a single slot is not shared out");
  const LayerShape& shape = model.layer_shape();
  const int64_t layers = model.config().layers, width = shape.width;
  const int64_t kv = shape.kv_heads * shape.head_width;
  const auto rows = [&](int64_t row) {
    return tensor::Tensor(capacity_ * row, model.dtype(), stream.device());
  };
  const auto each = [&](int64_t count, core::DType dtype) {
    return tensor::Tensor(count, dtype, stream.device());
  };
  keys_ = each(layers * capacity_ * kv, model.dtype());
  values_ = each(layers * capacity_ * kv, model.dtype());
  hidden_ = rows(width);
  normed_ = rows(width);
  qkv_ = rows(shape.qkv_width());
  attention_ = rows(shape.q_width());
  branch_ = rows(width);
  ffn_in_ = rows(shape.in_width());
  ffn_ = rows(shape.ffn);
  mean_ = each(capacity_, core::DType::kF32);
  inverse_ = each(capacity_, core::DType::kF32);
  tokens_ = each(capacity_, core::DType::kI32);
  positions_ = each(capacity_, core::DType::kI32);
}

NormOutput Generator::Normed(int64_t count) {
  const bool layer_norm = model_.final_norm().kind == configs::Norm::kLayer;
  return {normed_.view().Range(0, count * model_.layer_shape().width),
          mean_.view().Range(0, layer_norm ? count : 0), inverse_.view().Range(0, count)};
}

std::vector<float> Generator::Feed(const std::vector<int32_t>& tokens) {
  const auto count = static_cast<int64_t>(tokens.size());
  MOAT_CHECK(count > 0 && length_ + count <= capacity_, "more tokens than the model's seq_len");
  std::vector<int32_t> places(tokens.size());
  std::iota(places.begin(), places.end(), static_cast<int32_t>(length_));
  const View token = tokens_.view().Range(0, count), position = positions_.view().Range(0, count);
  tensor::Copy(HostView(tokens.data(), count), token, stream_);
  tensor::Copy(HostView(std::as_const(places).data(), count), position, stream_);
  const int64_t width = model_.config().width;
  model_.EmbedTokens(token, position, hidden_.view().Range(0, count * width));
  for (int64_t l = 0; l < model_.config().layers; ++l) FeedLayer(l, count);
  length_ += count;

  const NormOutput normed = Normed(1);
  NormForward(model_.final_norm(), hidden_.view().Range((count - 1) * width, width), normed,
              stream_);
  model_.WholeLogits(normed.y, logits_.view());
  const View logits = host_logits_.view(logits_.count(), core::DType::kF32);
  tensor::Copy(logits_.view(), logits, stream_);
  model_.axis().Finish(stream_);
  return {logits.as<float>(), logits.as<float>() + logits.count};
}

void Generator::FeedLayer(int64_t l, int64_t count) {
  const LayerShape& shape = model_.layer_shape();
  const auto rows = [&](tensor::Tensor& buffer, int64_t row) {
    return buffer.view().Range(0, count * row);
  };
  const View hidden = rows(hidden_, shape.width);
  const LayerBuffers at = {hidden,
                           Normed(count),
                           rows(qkv_, shape.qkv_width()),
                           rows(attention_, shape.q_width()),
                           {},
                           hidden,
                           Normed(count),
                           rows(ffn_in_, shape.in_width()),
                           rows(ffn_, shape.ffn)};
  const LayerContext context = {shape, model_.axis(), positions_.view().Range(0, count), stream_};
  const tensor::DropoutKey none = {};
  BeforeAttention(context, model_.layer(l), at);
  Attend(l, at.qkv, at.attention, count);
  AfterAttention(context, model_.layer(l), at, none, none, rows(branch_, shape.width), hidden);
}

// Each slot's key and value join the cache before its query looks at it.
void Generator::Attend(int64_t l, View qkv, View attention, int64_t count) {
  const LayerShape& shape = model_.layer_shape();
  const int64_t kv = shape.kv_heads * shape.head_width, q = shape.q_width();
  const View keys = keys_.view().Range(l * capacity_ * kv, capacity_ * kv);
  const View values = values_.view().Range(l * capacity_ * kv, capacity_ * kv);
  for (int64_t t = 0; t < count; ++t) {
    const View row = qkv.Range(t * shape.qkv_width(), shape.qkv_width());
    tensor::Copy(row.Range(q, kv), keys.Range((length_ + t) * kv, kv), stream_);
    tensor::Copy(row.Range(q + kv, kv), values.Range((length_ + t) * kv, kv), stream_);
    const int64_t seen = (length_ + t + 1) * kv;
    tensor::AttentionCached(row.Range(0, q), keys.Range(0, seen), values.Range(0, seen),
                            attention.Range(t * q, q), shape.heads, shape.kv_heads,
                            shape.head_width, stream_);
  }
}

}  // namespace moat::model
