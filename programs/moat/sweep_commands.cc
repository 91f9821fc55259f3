// The commands that start several runs and compare them: sweep, compare, drill.
#include <iostream>

#include "configs/command_line.h"
#include "core/error.h"
#include "core/host.h"
#include "core/logging.h"
#include "launch/comparison.h"
#include "launch/drill.h"
#include "launch/sweep.h"
#include "launch/sweep_array.h"
#include "programs/moat/builtin.h"

namespace moat::programs {

using configs::CommandLine;
using Words = std::vector<std::string>;

namespace {

int SweepOnSlurm(const CommandLine& line, const launch::JobSpec& here) {
  if (!line.Bool("dry_run")) return launch::SubmitSweep(line, here);
  const std::string script = launch::SweepScript(line, here);
  if (script.empty()) core::Log() << "no run is missing: nothing would be submitted";
  std::cout << script;
  return 0;
}

}  // namespace

int Sweep(const Words& arguments, const Words& words) {
  const auto line = CommandLine::Parse("sweep", arguments);
  if (line.help_printed()) return 0;
  if (line.value("on") == configs::Name(configs::LaunchOn::kSlurm)) {
    return SweepOnSlurm(line, JobHere(words));
  }
  if (line.Bool("dry_run")) {
    std::cout << launch::ToTsv(launch::PlanOf(line));
    return 0;
  }
  return launch::RunSweep(line, core::ProgramFolder() / "moat", core::Cores());
}

int Compare(const Words& arguments) {
  const auto line = CommandLine::Parse("compare", arguments);
  if (line.help_printed()) return 0;
  if (line.Bool("json") && line.Bool("csv")) {
    throw core::ConfigError("--json and --csv: choose one");
  }
  const auto comparison = launch::Compare(line.value("run_root"), line.positional());
  std::cout << (line.Bool("json")  ? launch::ToJson(comparison)
                : line.Bool("csv") ? launch::ToCsv(comparison)
                                   : launch::ToText(comparison));
  return 0;
}

int Drill(const Words& arguments) {
  constexpr int kDiffer = 1;  // as diff and cmp have it
  const auto line = CommandLine::Parse("drill", arguments);
  if (line.help_printed()) return 0;
  const launch::DrillReport report = launch::RunDrill(line, core::ProgramFolder() / "moat");
  std::cout << (line.Bool("json") ? launch::ToJson(report) : launch::ToText(report));
  return report.equal() ? 0 : kDiffer;
}

}  // namespace moat::programs
