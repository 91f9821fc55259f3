// What an import may be.
#include "configs/import_config.h"

#include <algorithm>

#include "configs/bounds.h"

namespace moat::configs {

void Validate(const ImportConfig& config) {
  if (config.in.empty() || std::any_of(config.in.begin(), config.in.end(),
                                       [](const std::string& path) { return path.empty(); })) {
    throw core::ConfigError("--in=PATH is missing: name a chat JSONL file or a directory");
  }
  if (config.out.empty()) {
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
}

}  // namespace moat::configs
