// The chat template, written out.
#include "data/chat_template.h"

namespace moat::data {

EncodedInteraction Encode(const Tokenizer& tokenizer, const Interaction& interaction) {
  EncodedInteraction encoded;
  for (const Segment& segment : interaction.segments) {
    encoded.segment_start.push_back(static_cast<int64_t>(encoded.tokens.size()));
    if (encoded.tokens.empty()) encoded.tokens.push_back(tokenizer.begin_token());
    encoded.tokens.push_back(tokenizer.role_token(segment.role));
    const std::vector<int32_t> text = tokenizer.Encode(segment.text);
    encoded.tokens.insert(encoded.tokens.end(), text.begin(), text.end());
    encoded.tokens.push_back(tokenizer.end_token());
  }
  return encoded;
}

}  // namespace moat::data
