// What a launch may be.
#include "configs/launch_config.h"

#include "configs/bounds.h"

namespace moat::configs {

void Validate(const LaunchConfig& config) {
  Validate(config.train);
  if (config.on != "local") Expected("on", config.on, "local: this version starts runs here only");
  AtLeast("restarts", config.restarts, 0);
  Number("grace", config.grace, config.grace > 0, "seconds above 0");
  Number("hang_timeout", config.hang_timeout, config.hang_timeout >= 0, "seconds, or 0");
}

}  // namespace moat::configs
