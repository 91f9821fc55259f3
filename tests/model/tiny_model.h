// A tiny configuration and a batch with packed spans and uneven weights, for tests of the model.
#pragma once

#include <cmath>
#include <vector>

#include "configs/model_config.h"
#include "core/rng.h"
#include "model/transformer.h"
#include "tensor/ops.h"
#include "tests/support/reference_transformer.h"

namespace moat::testing {

inline configs::ModelConfig TinyConfig() {
  configs::ModelConfig c;
  c.vocab_size = 37;
  c.layers = 2;
  c.width = 24;
  c.heads = 4;
  c.kv_heads = 2;
  c.ffn = 29;
  c.seq_len = 11;
  return c;
}

// The other family, with what a choice could leave out all there.
inline configs::ModelConfig TinyGpt2() {
  configs::ModelConfig c = TinyConfig();
  c.kv_heads = c.heads;
  c.norm = configs::Norm::kLayer;
  c.position = configs::Position::kLearned;
  c.mlp = configs::Mlp::kGelu;
  c.tie_embeddings = true;
  c.bias = true;
  return c;
}

// Llama-style with untied and tied embeddings, GPT-2-style, and choices crossed between families.
inline std::vector<configs::ModelConfig> TinyFamilies() {
  configs::ModelConfig tied = TinyConfig();
  tied.tie_embeddings = true;
  configs::ModelConfig crossed = TinyConfig();  // biases with SwiGLU and RMSNorm
  crossed.bias = true;
  configs::ModelConfig unbiased = TinyGpt2();  // LayerNorm without biases, rotary with GELU
  unbiased.bias = false;
  unbiased.position = configs::Position::kRotary;
  unbiased.kv_heads = 2;
  unbiased.tie_embeddings = false;
  return {TinyConfig(), tied, TinyGpt2(), crossed, unbiased};
}

inline ReferenceBatch TinyBatch(const configs::ModelConfig& c, int64_t rows, uint64_t seed = 3) {
  ReferenceBatch b{rows, {}, {}, {}, {}};
  uint64_t draw = 0;
  for (int64_t r = 0; r < rows; ++r) {
    int32_t start = 0;
    for (int32_t t = 0; t < c.seq_len; ++t) {
      if (r % 2 == 1 && t == c.seq_len / 2) start = t;
      b.tokens.push_back(static_cast<int32_t>(core::RandomBits(seed, draw++) %
                                              static_cast<uint64_t>(c.vocab_size)));
      b.targets.push_back(static_cast<int32_t>(core::RandomBits(seed, draw++) %
                                               static_cast<uint64_t>(c.vocab_size)));
      b.span_start.push_back(start);
      b.weights.push_back(t % 4 == 1 ? 0.0f : 0.25f * static_cast<float>(1 + t % 3));
    }
  }
  return b;
}

inline model::MicroBatch View(const ReferenceBatch& b, const std::vector<uint64_t>& samples) {
  return {b.rows,           b.tokens.data(),     b.targets.data(),
          b.weights.data(), b.span_start.data(), samples.data()};
}

// The usual constants, at update `t` from 1.
inline tensor::AdamWStep TinyUpdate(int t, float learning_rate, float gradient_scale) {
  return {.learning_rate = learning_rate,
          .beta1 = 0.9f,
          .beta2 = 0.95f,
          .epsilon = 1e-8f,
          .weight_decay = 0.1f,
          .correction1 = 1 - std::pow(0.9f, static_cast<float>(t)),
          .correction2 = 1 - std::pow(0.95f, static_cast<float>(t)),
          .gradient_scale = gradient_scale};
}

}  // namespace moat::testing
