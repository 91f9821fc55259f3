// Training of the tokenizer: the settings that keep SentencePiece lossless.
#include "data/tokenizer_training.h"

#include <sentencepiece_trainer.h>

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <utility>

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

// Calls `visit` with every character of `text`, all of which are well-formed.
template <typename Visit>
void ForEachCharacter(std::string_view text, const Visit& visit) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = std::max<size_t>(CharacterLength(text.substr(at)), 1);
    visit(text.substr(at, length));
    at += length;
  }
}

// The characters that become pieces: the most frequent ones until they cover all but one in 2,000,
// and at most half of the pieces there is room for. Bytes spell the others.
std::unordered_set<std::string> FrequentCharacters(const std::vector<std::string>& sentences,
                                                   int64_t room) {
  constexpr double kCoverage = 0.9995;
  std::map<std::string, int64_t, std::less<>> counts;
  int64_t total = 0;
  for (const std::string& sentence : sentences) {
    ForEachCharacter(sentence, [&](std::string_view character) {
      const auto found = counts.find(character);
      if (found != counts.end()) {
        ++found->second;
      } else {
        counts.emplace(character, 1);
      }
      ++total;
    });
  }
  std::vector<std::pair<int64_t, std::string>> order;
  for (const auto& [character, count] : counts) order.emplace_back(-count, character);
  std::sort(order.begin(), order.end());
  std::unordered_set<std::string> kept;
  double covered = 0;
  for (const auto& [negative_count, character] : order) {
    if (covered >= kCoverage * static_cast<double>(total)) break;
    if (static_cast<int64_t>(kept.size()) + 1 >= room / 2) break;
    kept.insert(character);
    covered -= static_cast<double>(negative_count);
  }
  return kept;
}

// The same sentences, cut at every character that is not kept. (SentencePiece's own setting for
// this accepts a coverage of 0.98 or more only.)
std::vector<std::string> CutAtRareCharacters(const std::vector<std::string>& sentences,
                                             const std::unordered_set<std::string>& kept) {
  std::vector<std::string> result;
  std::string run;
  const auto flush = [&] {
    if (!run.empty()) result.push_back(std::exchange(run, {}));
  };
  for (const std::string& sentence : sentences) {
    ForEachCharacter(sentence, [&](std::string_view character) {
      if (kept.contains(std::string(character))) {
        run += character;
      } else {
        flush();
      }
    });
    flush();
  }
  return result;
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
  sentences_ =
      CutAtRareCharacters(sentences_, FrequentCharacters(sentences_, vocab_size_ - kFixedPieces));
  const std::unordered_map<std::string, std::string> settings = {
      {"model_type", "bpe"},
      {"vocab_size", std::to_string(vocab_size_)},
      {"hard_vocab_limit", "false"},
      {"character_coverage", "1.0"},
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
