// moat eval: a run's model measured on a validation split.
#pragma once

#include "configs/eval_config.h"

namespace moat::programs {

int Evaluate(const configs::EvalConfig& config);

}  // namespace moat::programs
