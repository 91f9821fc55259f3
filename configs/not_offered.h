// What this version does not offer yet, although the flags are settled.
#pragma once

#include "configs/train_config.h"

namespace moat::configs {

// Throws ConfigError for the first choice of `config` that is not offered; nothing is ignored.
void RefuseNotOffered(const TrainConfig& config);

}  // namespace moat::configs
