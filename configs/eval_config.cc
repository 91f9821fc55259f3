// What an evaluation may be.
#include "configs/eval_config.h"

#include "configs/bounds.h"

namespace moat::configs {

void Validate(const EvalConfig& config) {
  if (config.run.empty())
    throw core::ConfigError("--run=NAME is missing: name the run to evaluate");
  AtLeast("threads", config.threads, 0);
}

}  // namespace moat::configs
