// What an import may be.
#include "configs/import_config.h"

#include <algorithm>

#include "configs/bounds.h"

namespace moat::configs {
namespace {

void OneOf(const std::string& flag, const std::string& found,
           const std::vector<std::string>& words) {
  if (std::find(words.begin(), words.end(), found) != words.end()) return;
  std::string listed = words[0];
  for (size_t i = 1; i < words.size(); ++i) {
    listed += (i + 1 < words.size() ? ", " : " or ") + words[i];
  }
  Expected(flag, found, listed);
}

}  // namespace

void Validate(const ImportConfig& config) {
  if (config.in.empty() || std::any_of(config.in.begin(), config.in.end(),
                                       [](const std::string& path) { return path.empty(); })) {
    throw core::ConfigError("--in=PATH is missing: name a chat JSONL file or a directory");
  }
  if (config.out.empty() && !config.dry_run) {
    throw core::ConfigError("--out=DIR is missing: name the data set directory to make");
  }
  // 256 bytes for fallback, and room for control symbols and at least some merges.
  AtLeast("vocab_size", config.vocab_size, 300);
  Number("validation_fraction", config.validation_fraction,
         config.validation_fraction > 0 && config.validation_fraction < 1,
         "a number above 0 and below 1");
  Number("max_bad_fraction", config.max_bad_fraction,
         config.max_bad_fraction >= 0 && config.max_bad_fraction <= 1, "a number in [0, 1]");
  AtLeast("shard_tokens", config.shard_tokens, 1);
  AtLeast("max_file_bytes", config.max_file_bytes, 1);
  AtLeast("threads", config.threads, 0);
  OneOf("dedup", config.dedup, {"off", "exact", "near"});
  Number("near_threshold", config.near_threshold,
         config.near_threshold >= 0.5 && config.near_threshold <= 1, "a number in [0.5, 1]");
  OneOf("split", config.split, {"auto", "user", "time", "path", "id"});
  Number("test_fraction", config.test_fraction,
         config.test_fraction >= 0 && config.validation_fraction + config.test_fraction < 1,
         "a number of at least 0 that leaves something to train on beside --validation_fraction");
  const HygieneConfig& hygiene = config.hygiene;
  AtLeast("min_text_bytes", hygiene.min_text_bytes, 0);
  AtLeast("max_text_bytes", hygiene.max_text_bytes, 0);
  if (hygiene.max_text_bytes > 0 && hygiene.max_text_bytes < hygiene.min_text_bytes) {
    throw core::ConfigError("--max_text_bytes=" + std::to_string(hygiene.max_text_bytes) +
                            " is below --min_text_bytes=" + std::to_string(hygiene.min_text_bytes) +
                            ": nothing would be left");
  }
  Number("max_repetition", hygiene.max_repetition,
         hygiene.max_repetition > 0 && hygiene.max_repetition <= 1,
         "a number above 0 and at most 1 (1: no filter)");
}

}  // namespace moat::configs
