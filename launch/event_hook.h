// --on_event: a command of the user's that is told of every change of a run's state.
#pragma once

#include <string>

#include "configs/launch_config.h"
#include "rundir/layout.h"
#include "rundir/outcome.h"

namespace moat::launch {

inline constexpr double kHookSeconds = 10;  // then it is killed

// What the run does next where the outcome does not say it: an attempt ended, another follows.
inline constexpr char kRestarting[] = "restarting";

// Runs the command, if there is one, with /bin/sh, and waits for its end. It finds MOAT_EVENT (a
// state of outcome.json, or "restarting"), MOAT_RUN, MOAT_RUN_DIR (absolute), MOAT_STEP,
// MOAT_ATTEMPTS, MOAT_EXIT_CODE, MOAT_CLASS and MOAT_CAUSE in its environment. One that fails or
// takes too long is a warning and nothing more. Never throws.
void TellHook(const configs::LaunchConfig& config, const rundir::RunLayout& layout,
              const rundir::Outcome& outcome, const std::string& event);
void TellHook(const configs::LaunchConfig& config, const rundir::RunLayout& layout,
              const rundir::Outcome& outcome);  // of its state

}  // namespace moat::launch
