// Trains moat's tokenizer on a bounded sample of text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moat::data {

// Collects text and trains once. The pieces depend on the text and the vocabulary size only.
class TokenizerTraining {
 public:
  static constexpr int64_t kSampleBytes = 16 << 20;  // more text than this adds time, not pieces
  static constexpr int64_t kMinVocabSize = 288;  // control tokens, 256 bytes and a few characters

  // `vocab_size` is an upper bound: small texts give fewer pieces. Throws ConfigError below
  // kMinVocabSize.
  explicit TokenizerTraining(int64_t vocab_size);

  // Any bytes; what SentencePiece cannot take, and what exceeds kSampleBytes, is left out.
  void Add(std::string_view text);

  // The serialized SentencePiece model. Throws BugError if SentencePiece refuses.
  std::string Train();

 private:
  int64_t vocab_size_;
  int64_t bytes_ = 0;
  std::vector<std::string> sentences_;
};

}  // namespace moat::data
