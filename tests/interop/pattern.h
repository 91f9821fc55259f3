// The samples that both sides of a comparison make for themselves: class Draw and draw_row of
// make_references.py, in C++.
#pragma once

#include <cstdint>

#include "data/batch.h"

namespace moat::testing {

// A linear congruential generator.
class Draw {
 public:
  explicit Draw(uint64_t seed) : state_(seed) {}
  int32_t Below(uint64_t bound) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<int32_t>((state_ >> 33) % bound);
  }

 private:
  uint64_t state_;
};

// Appends a row of one or two spans. Each follows one of two rules for the next token, but for one
// token in eight.
inline void AppendRow(Draw& draw, int64_t vocab_size, bool two_spans, bool weightless,
                      data::Batch* batch) {
  const auto vocab = static_cast<int32_t>(vocab_size);
  const int32_t cut = two_spans ? 6 + draw.Below(12) : 0;
  int32_t token = 0, rule = 0;
  for (int32_t slot = 0; slot < batch->seq_len; ++slot) {
    if (slot == 0 || slot == cut) {
      token = draw.Below(static_cast<uint64_t>(vocab));
      rule = draw.Below(2);
    }
    int32_t following = (rule ? 3 * token + 7 : token + 11) % vocab;
    if (draw.Below(8) == 0) following = draw.Below(static_cast<uint64_t>(vocab));
    const float weight = 0.5f * static_cast<float>(draw.Below(4));
    batch->tokens.push_back(token);
    batch->targets.push_back(following);
    batch->weights.push_back(weightless ? 0 : weight);
    batch->span_start.push_back(slot >= cut ? cut : 0);
    token = following;
  }
  batch->samples.push_back(static_cast<uint64_t>(batch->rows++));
}

}  // namespace moat::testing
