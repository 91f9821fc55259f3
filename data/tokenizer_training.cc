// Training of the tokenizer: the settings that keep SentencePiece lossless.
#include "data/tokenizer_training.h"

#include <sentencepiece_trainer.h>

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>

#include "core/error.h"
#include "data/utf8.h"

namespace moat::data {
namespace {

constexpr size_t kSentenceBytes = 4096;
constexpr int64_t kFixedPieces = 9 + 256;  // control tokens, <unk>, bytes

class Sentences : public sentencepiece::SentenceIterator {
 public:
  explicit Sentences(const std::vector<std::string>& list) : list_(list) {}
  bool done() const override { return at_ >= list_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return list_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& list_;
  size_t at_ = 0;
};

// A learned piece spelled like a control or byte piece would make the model invalid, so the
// training text is cut inside anything that looks like one.
bool LooksLikeControl(std::string_view text) {
  constexpr std::array<std::string_view, 6> starts = {"<|", "<s>", "<pad>", "<unk>", "<0x", "</s>"};
  return std::any_of(starts.begin(), starts.end(),
                     [&](std::string_view start) { return text.substr(0, start.size()) == start; });
}

// The share of characters to keep as pieces: all but the rarest, and at most half of the pieces
// there is room for (bytes spell the others).
double Coverage(const std::vector<std::string>& sentences, int64_t room) {
  std::unordered_map<std::string, int64_t> counts;
  int64_t total = 0;
  for (const std::string_view sentence : sentences) {
    for (size_t at = 0; at < sentence.size(); ++total) {
      const size_t length = std::max<size_t>(CharacterLength(sentence.substr(at)), 1);
      ++counts[std::string(sentence.substr(at, length))];
      at += length;
    }
  }
  std::vector<int64_t> sorted;
  for (const auto& [character, count] : counts) sorted.push_back(count);
  std::sort(sorted.rbegin(), sorted.rend());
  int64_t covered = 0;
  for (size_t i = 0; i < sorted.size() && static_cast<int64_t>(i) + 2 < room / 2; ++i) {
    covered += sorted[i];
  }
  return std::min(0.9995, static_cast<double>(covered) / static_cast<double>(total) - 1e-9);
}

}  // namespace

TokenizerTraining::TokenizerTraining(int64_t vocab_size) : vocab_size_(vocab_size) {
  if (vocab_size < kMinVocabSize) {
    throw core::ConfigError("--vocab_size=" + std::to_string(vocab_size) + ": expected at least " +
                            std::to_string(kMinVocabSize) +
                            " (265 control and byte tokens, and some pieces to learn)");
  }
}

void TokenizerTraining::Add(std::string_view text) {
  while (!text.empty() && bytes_ < kSampleBytes) {
    std::string_view run = text.substr(0, PlainPrefix(text));
    bytes_ += static_cast<int64_t>(run.size());
    text.remove_prefix(run.size());
    text.remove_prefix(AwkwardPrefix(text));
    while (!run.empty()) {
      size_t length = CutAtCharacter(run, kSentenceBytes);
      // Prefer to end after a line, so that no piece is cut for nothing.
      const size_t line = run.substr(0, length).rfind('\n');
      if (length < run.size() && line != std::string_view::npos) length = line + 1;
      for (size_t i = 0; i < length; ++i) {
        if (run[i] == '<' && LooksLikeControl(run.substr(i))) length = i + 1;
      }
      sentences_.emplace_back(run.substr(0, length));
      run.remove_prefix(length);
    }
  }
}

std::string TokenizerTraining::Train() {
  if (sentences_.empty()) sentences_.emplace_back("a");  // nothing but awkward bytes: bytes do
  const std::unordered_map<std::string, std::string> settings = {
      {"model_type", "bpe"},
      {"vocab_size", std::to_string(vocab_size_)},
      {"hard_vocab_limit", "false"},
      {"character_coverage", std::to_string(Coverage(sentences_, vocab_size_ - kFixedPieces))},
      {"normalization_rule_name", "identity"},
      {"remove_extra_whitespaces", "false"},
      {"add_dummy_prefix", "false"},
      {"byte_fallback", "true"},
      {"split_digits", "true"},
      {"allow_whitespace_only_pieces", "true"},
      // Interactions are full of code and JSON, where `"},` or `();` are units: half the tokens of
      // a coffee order, an eighth fewer of C++.
      {"split_by_unicode_script", "false"},
      {"max_sentence_length", std::to_string(1 << 20)},
      {"num_threads", "1"},
      {"minloglevel", "3"},
      {"pad_id", "0"},
      {"pad_piece", "<pad>"},
      {"bos_id", "1"},
      {"bos_piece", "<s>"},
      {"eos_id", "2"},
      {"eos_piece", "<|end|>"},
      {"unk_id", "8"},
      {"control_symbols", "<|system|>,<|user|>,<|assistant|>,<|tool|>,<|text|>"},
  };
  Sentences sentences(sentences_);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(settings, &sentences, &model);
  MOAT_CHECK(status.ok(), "SentencePiece did not train: " + status.ToString());
  return model;
}

}  // namespace moat::data
