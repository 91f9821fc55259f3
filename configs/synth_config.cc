// What may be asked of `moat data synth`.
#include "configs/synth_config.h"

#include "configs/bounds.h"

namespace moat::configs {

void Validate(const SynthConfig& config) {
  if (config.out.empty()) {
    throw core::ConfigError(
        "--out=FILE is missing: name the chat JSONL file to write, or - for "
        "standard output");
  }
  AtLeast("interactions", config.interactions, 1);
  AtLeast("users", config.users, 0);
  AtLeast("threads", config.threads, 0);
  const auto share = [](const char* name, double value) {
    Number(name, value, value >= 0 && value < 1, "a share in [0, 1)");
  };
  share("duplicates", config.duplicates);
  share("near_duplicates", config.near_duplicates);
  share("bad", config.bad);
  if (config.duplicates + config.near_duplicates > 0.9) {
    throw core::ConfigError("--duplicates and --near_duplicates together: expected at most 0.9");
  }
}

}  // namespace moat::configs
