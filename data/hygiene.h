// Hygiene: what an import changes or leaves out before anything else sees an interaction.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "configs/import_config.h"
#include "data/interaction.h"
#include "data/redaction.h"

namespace moat::data {

// The share of the text that repeats what came before in it, in [0, 1]: of all windows of
// kRepetitionWindow bytes, those that occurred earlier in the same interaction. Knows no language.
// 0 for texts of less than four windows.
inline constexpr size_t kRepetitionWindow = 24;
double RepetitionOf(const Interaction& interaction);

class Hygiene {
 public:
  // Reads the redaction rules. Throws ConfigError.
  explicit Hygiene(const configs::HygieneConfig& config);

  // Redacts the interaction's texts in place, then judges them. False: leave it out.
  bool Apply(Interaction* interaction);

  // The same, telling of every replacement.
  bool Apply(Interaction* interaction, const Redactor::OnRedacted& on_redacted);

  // "interactions shorter than --min_text_bytes", "redacted: email", ... and how often so far.
  std::map<std::string, int64_t> Counts() const;

 private:
  configs::HygieneConfig config_;
  std::optional<Redactor> redactor_;
  std::map<std::string, int64_t> counts_;
};

}  // namespace moat::data
