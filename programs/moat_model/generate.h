// `moat generate`: a trained model continues a text or a dialog.
#pragma once

#include "configs/generate_config.h"

namespace moat::programs {

// Prints the completion to stdout (or one JSON object with --json). Throws ConfigError for a run
// without checkpoints, DataError for a dialog that is not one.
int Generate(const configs::GenerateConfig& config);

}  // namespace moat::programs
