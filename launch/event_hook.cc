// Telling the user's command.
#include "launch/event_hook.h"

#include <filesystem>

#include "core/error.h"
#include "core/logging.h"
#include "launch/captured.h"

namespace moat::launch {

void TellHook(const configs::LaunchConfig& config, const rundir::RunLayout& layout,
              const rundir::Outcome& outcome, const std::string& event) {
  if (config.on_event.empty()) return;
  std::string problem;
  try {
    const rundir::FirstFailure cause = outcome.first_failure.value_or(rundir::FirstFailure{});
    const Captured done = RunCaptured({"/bin/sh", "-c", config.on_event},
                                      {{"MOAT_EVENT", event},
                                       {"MOAT_RUN", config.train.run},
                                       {"MOAT_RUN_DIR", std::filesystem::absolute(layout.root)},
                                       {"MOAT_STEP", std::to_string(outcome.step)},
                                       {"MOAT_ATTEMPTS", std::to_string(outcome.attempts)},
                                       {"MOAT_EXIT_CODE", std::to_string(outcome.exit_code)},
                                       {"MOAT_CLASS", outcome.error_class},
                                       {"MOAT_CAUSE", cause.what}},
                                      kHookSeconds);
    if (done.code == 124) problem = "has not ended after 10 s and was killed";
    if (done.code != 0 && problem.empty()) {
      problem = "exits with " + std::to_string(done.code) + ": " + done.errors;
    }
  } catch (const std::exception& error) {
    problem = error.what();
  }
  if (problem.empty()) return;
  core::Log(core::Log::kWarning) << "--on_event=" << config.on_event << ", told that the run is "
                                 << event << ": " << problem;
}

void TellHook(const configs::LaunchConfig& config, const rundir::RunLayout& layout,
              const rundir::Outcome& outcome) {
  TellHook(config, layout, outcome, rundir::Name(outcome.state));
}

}  // namespace moat::launch
