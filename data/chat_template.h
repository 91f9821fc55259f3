// The chat template: an interaction as tokens. <s>, then per segment its role token, text, <|end|>.
#pragma once

#include <cstdint>
#include <vector>

#include "data/interaction.h"
#include "data/tokenizer.h"

namespace moat::data {

struct EncodedInteraction {
  std::vector<int32_t> tokens;
  std::vector<int64_t> segment_start;  // of each segment in `tokens`; the first one owns <s>: 0
};

EncodedInteraction Encode(const Tokenizer& tokenizer, const Interaction& interaction);

// The tokens of a segment that can carry weight start here, counted from its first token: after
// the role token, and after <s> in the first segment of an interaction.
constexpr int64_t HeaderTokens(bool first_segment) { return first_segment ? 2 : 1; }

}  // namespace moat::data
