// What `moat launch` does besides the run it starts.
#pragma once

#include <string>

#include "configs/train_config.h"

namespace moat::configs {

struct LaunchConfig {
  TrainConfig train;
  std::string on = "local";
  bool dry_run = false;
  bool json = false;
  int restarts = 10;        // new attempts that a lost peer or failed storage is answered with
  double grace = 60;        // seconds a run gets to save after a signal, before it is killed
  double hang_timeout = 0;  // seconds a rank may stay in one phase; 0: learned from its phases
};

void Validate(const LaunchConfig& config);

}  // namespace moat::configs
