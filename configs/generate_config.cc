// What a generation may be.
#include "configs/generate_config.h"

#include "configs/bounds.h"
#include "configs/train_config.h"

namespace moat::configs {

void Validate(const GenerateConfig& config) {
  const bool names_checkpoint =
      !config.checkpoint.empty() && config.checkpoint != "newest" && config.checkpoint != "best";
  if (config.run.empty() && !names_checkpoint) {
    throw core::ConfigError(
        "--run=NAME is missing: name the run to generate from, or a --checkpoint");
  }
  AtLeast("max_tokens", config.max_tokens, 1);
  Number("temperature", config.temperature, config.temperature >= 0, "a number of at least 0");
  AtLeast("top_k", config.top_k, 0);
  Number("top_p", config.top_p, config.top_p > 0 && config.top_p <= 1,
         "a number above 0 and at most 1");
  AtLeast("threads", config.threads, 0);
  ValidateDevice(config.device);
}

}  // namespace moat::configs
