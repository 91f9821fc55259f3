// Generation: an incremental forward pass over the same weights and ops as training, and sampling.
#include "model/generator.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/rng.h"
#include "model/layer_views.h"

namespace moat::model {

using tensor::ConstView;
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
    : model_(model), stream_(stream), config_(model.config()), capacity_(config_.seq_len) {
  const int64_t kv = config_.kv_heads * config_.head_width(),
                q = config_.heads * config_.head_width();
  const auto buffer = [](int64_t count) { return tensor::Tensor(count, core::DType::kF32); };
  keys_ = buffer(config_.layers * capacity_ * kv);
  values_ = buffer(config_.layers * capacity_ * kv);
  hidden_ = buffer(capacity_ * config_.width);
  normed_ = buffer(capacity_ * config_.width);
  inverse_ = buffer(capacity_);
  qkv_ = buffer(capacity_ * (q + 2 * kv));
  attention_ = buffer(capacity_ * q);
  branch_ = buffer(capacity_ * config_.width);
  gate_up_ = buffer(capacity_ * 2 * config_.ffn);
  ffn_ = buffer(capacity_ * config_.ffn);
}

std::vector<float> Generator::Feed(const std::vector<int32_t>& tokens) {
  const auto count = static_cast<int64_t>(tokens.size());
  MOAT_CHECK(count > 0 && length_ + count <= capacity_, "more tokens than the model's seq_len");
  positions_.resize(tokens.size());
  std::iota(positions_.begin(), positions_.end(), static_cast<int32_t>(length_));
  const int64_t width = config_.width;
  tensor::Embed(HostView(tokens.data(), count), model_.weight(0),
                hidden_.view().Range(0, count * width), width, false, stream_);
  for (int64_t l = 0; l < config_.layers; ++l) FeedLayer(l, count);
  length_ += count;

  const View last = hidden_.view().Range((count - 1) * width, width);
  const View normed = normed_.view().Range(0, width);
  tensor::RmsNorm(last, model_.weight(LayerIndex(config_.layers, kAttentionNorm)), normed,
                  inverse_.view().Range(0, 1), config_.norm_epsilon, stream_);
  std::vector<float> logits(static_cast<size_t>(config_.vocab_size));
  const int output = config_.tie_embeddings ? 0 : static_cast<int>(model_.parameters().size()) - 1;
  tensor::MatMul(false, true, 1, config_.vocab_size, width, normed, model_.weight(output), {},
                 HostView(logits.data(), config_.vocab_size), false, stream_);
  stream_.Synchronize();
  return logits;
}

void Generator::FeedLayer(int64_t l, int64_t count) {
  const int64_t width = config_.width, head = config_.head_width();
  const int64_t kv = config_.kv_heads * head, q = config_.heads * head, qkv_width = q + 2 * kv;
  const View hidden = hidden_.view().Range(0, count * width),
             normed = normed_.view().Range(0, count * width);
  const View inverse = inverse_.view().Range(0, count),
             branch = branch_.view().Range(0, count * width);
  const View qkv = qkv_.view().Range(0, count * qkv_width),
             attention = attention_.view().Range(0, count * q);
  const View gate_up = gate_up_.view().Range(0, count * 2 * config_.ffn),
             ffn = ffn_.view().Range(0, count * config_.ffn);
  const auto weights = [&](LayerParameter first, int number) {
    return model_.WeightGroup(LayerIndex(l, first), number);
  };

  tensor::RmsNorm(hidden, weights(kAttentionNorm, 1), normed, inverse, config_.norm_epsilon,
                  stream_);
  tensor::MatMul(false, true, count, qkv_width, width, normed, weights(kWq, 3), {}, qkv, false,
                 stream_);
  tensor::Rotate(qkv, HostView(static_cast<const int32_t*>(positions_.data()), count),
                 config_.heads + config_.kv_heads, head, qkv_width, config_.rotary_base, false,
                 stream_);
  const View keys = keys_.view().Range(l * capacity_ * kv, capacity_ * kv);
  const View values = values_.view().Range(l * capacity_ * kv, capacity_ * kv);
  for (int64_t t = 0; t < count; ++t) {
    const View row = qkv.Range(t * qkv_width, qkv_width);
    tensor::Copy(row.Range(q, kv), keys.Range((length_ + t) * kv, kv), stream_);
    tensor::Copy(row.Range(q + kv, kv), values.Range((length_ + t) * kv, kv), stream_);
    const int64_t seen = (length_ + t + 1) * kv;
    tensor::AttentionCached(row.Range(0, q), keys.Range(0, seen), values.Range(0, seen),
                            attention.Range(t * q, q), config_.heads, config_.kv_heads, head,
                            stream_);
  }
  tensor::MatMul(false, true, count, width, q, attention, weights(kWo, 1), {}, branch, false,
                 stream_);
  tensor::Add(branch, hidden, stream_);

  tensor::RmsNorm(hidden, weights(kFfnNorm, 1), normed, inverse, config_.norm_epsilon, stream_);
  tensor::MatMul(false, true, count, 2 * config_.ffn, width, normed, weights(kWGate, 2), {},
                 gate_up, false, stream_);
  tensor::SwiGlu(gate_up, ffn, config_.ffn, stream_);
  tensor::MatMul(false, true, count, width, config_.ffn, ffn, weights(kWDown, 1), {}, branch, false,
                 stream_);
  tensor::Add(branch, hidden, stream_);
}

}  // namespace moat::model
