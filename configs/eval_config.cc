// What an evaluation may be.
#include "configs/eval_config.h"

#include "configs/bounds.h"
#include "configs/train_config.h"

namespace moat::configs {

void Validate(const EvalConfig& config) {
  if (config.run.empty())
    throw core::ConfigError("--run=NAME is missing: name the run to evaluate");
  AtLeast("threads", config.threads, 0);
  ValidateDevice(config.device);
}

}  // namespace moat::configs
