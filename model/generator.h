// Generator: one sequence, token after token, with a key-value cache.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "model/transformer.h"
#include "tensor/host_buffer.h"

namespace moat::model {

struct Sampling {
  double temperature = 0.8;  // 0: the most likely token
  int64_t top_k = 0;         // 0: off
  double top_p = 1.0;        // 1: off
  uint64_t seed = 1;
};

// The token drawn from `logits` [vocab] as draw number `draw` of the seed: logits / temperature,
// softmax, the top_k most likely, of those the smallest set whose probability reaches top_p
// (Holtzman et al., 2020, "nucleus"). Tokens in `banned` are never drawn.
int32_t SampleToken(const std::vector<float>& logits, const Sampling& sampling, uint64_t draw,
                    const std::vector<int32_t>& banned);

class Generator {
 public:
  // Uses the model's weights on the model's device; the model must outlive it, and not be
  // sequence-parallel. At most config.seq_len tokens, prompt included, are remembered. Over a
  // tensor group all ranks feed the same tokens and get the same logits.
  Generator(Transformer& model, tensor::Stream& stream);

  int64_t length() const { return length_; }  // tokens seen so far
  int64_t capacity() const { return capacity_; }

  // Feeds tokens and returns the logits [vocab] after the last. REQUIRES: length() + tokens.size()
  // <= capacity().
  std::vector<float> Feed(const std::vector<int32_t>& tokens);

 private:
  void FeedLayer(int64_t layer, int64_t tokens);
  void Attend(int64_t layer, tensor::View qkv, tensor::View attention, int64_t tokens);
  NormOutput Normed(int64_t tokens);

  Transformer& model_;
  tensor::Stream& stream_;
  int64_t capacity_;
  int64_t length_ = 0;
  tensor::Tensor keys_, values_;  // [layers, capacity, kv_heads * head_width]
  tensor::Tensor hidden_, normed_, mean_, inverse_, qkv_, attention_, branch_, ffn_in_, ffn_;
  tensor::Tensor tokens_, positions_;  // [capacity] i32: of those at hand
  tensor::Tensor logits_;
  tensor::HostBuffer host_logits_;
};

}  // namespace moat::model
