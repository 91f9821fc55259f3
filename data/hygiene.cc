// Redaction first, since it changes lengths; then the filters.
#include "data/hygiene.h"

#include <string_view>
#include <unordered_set>

namespace moat::data {
namespace {

// Hashes of every window of the text, rolled on byte by byte: a polynomial modulo 2^64.
template <typename Visit>
void ForEachWindow(std::string_view text, const Visit& visit) {
  constexpr uint64_t kBase = 0x9E3779B97F4A7C15;  // odd, large
  if (text.size() < kRepetitionWindow) return;
  uint64_t oldest = 1;  // kBase^(window - 1)
  for (size_t i = 1; i < kRepetitionWindow; ++i) oldest *= kBase;
  uint64_t hash = 0;
  const auto value = [&](size_t i) {
    return static_cast<uint64_t>(static_cast<uint8_t>(text[i])) + 1;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (i >= kRepetitionWindow) hash -= value(i - kRepetitionWindow) * oldest;
    hash = hash * kBase + value(i);
    if (i + 1 >= kRepetitionWindow) visit(hash);
  }
}

}  // namespace

double RepetitionOf(const Interaction& interaction) {
  if (interaction.TextBytes() < static_cast<int64_t>(4 * kRepetitionWindow)) return 0;
  std::unordered_set<uint64_t> seen;
  int64_t windows = 0;
  for (const Segment& segment : interaction.segments) {
    ForEachWindow(segment.text, [&](uint64_t hash) {
      seen.insert(hash);
      ++windows;
    });
  }
  if (windows == 0) return 0;
  return 1 - static_cast<double>(seen.size()) / static_cast<double>(windows);
}

Hygiene::Hygiene(const configs::HygieneConfig& config) : config_(config) {
  if (!config.redact.empty()) redactor_.emplace(Redactor::Load(config.redact));
}

bool Hygiene::Apply(Interaction* interaction) { return Apply(interaction, {}); }

bool Hygiene::Apply(Interaction* interaction, const Redactor::OnRedacted& on_redacted) {
  if (redactor_) {
    for (Segment& segment : interaction->segments) redactor_->Apply(&segment.text, on_redacted);
  }
  const int64_t bytes = interaction->TextBytes();
  const char* reason = nullptr;
  if (bytes < config_.min_text_bytes) {
    reason = "interactions shorter than --min_text_bytes";
  } else if (config_.max_text_bytes > 0 && bytes > config_.max_text_bytes) {
    reason = "interactions longer than --max_text_bytes";
  } else if (config_.max_repetition < 1 && RepetitionOf(*interaction) > config_.max_repetition) {
    reason = "interactions that repeat themselves more than --max_repetition";
  }
  if (reason != nullptr) ++counts_[reason];
  return reason == nullptr;
}

std::map<std::string, int64_t> Hygiene::Counts() const {
  std::map<std::string, int64_t> counts = counts_;
  if (redactor_) {
    for (const auto& [rule, count] : redactor_->counts()) counts["redacted: " + rule] = count;
  }
  return counts;
}

}  // namespace moat::data
