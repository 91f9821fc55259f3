// `moat data import --dry_run`: reads the inputs and says what an import would change and leave
// out.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "configs/import_config.h"

namespace moat::data {

// A replacement as people would check it: with some text around it, line breaks made visible.
struct RedactionExample {
  std::string interaction;  // its id
  std::string rule;
  std::string before, match, replacement, after;
};

struct DryRunReport {
  static constexpr size_t kExamplesPerRule = 3;  // the first ones

  int64_t read = 0;                              // interactions
  int64_t kept = 0;                              // of them
  int64_t text_bytes = 0;                        // of those kept, after redaction
  int64_t quarantined = 0;                       // records that cannot be read
  std::vector<std::string> quarantine_examples;  // "file:line: reason", the first ones
  std::map<std::string, int64_t> counts;         // as an import would print
  std::vector<RedactionExample> examples;
};

// Writes nothing. REQUIRES: a validated config. Throws ConfigError.
DryRunReport DryRun(const configs::ImportConfig& config);

std::string ToText(const DryRunReport& report);
std::string ToJson(const DryRunReport& report);  // one object, one line

}  // namespace moat::data
