// Which run is meant.
#include "launch/run_choice.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "core/error.h"
#include "core/host.h"
#include "core/nearest.h"
#include "launch/sweep_plan.h"
#include "rundir/outcome.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;

bool HoldsRun(const fs::path& run_root, const std::string& name) {
  std::error_code ignored;
  if (name.empty()) return !RunNames(run_root).empty();
  return fs::exists(run_root / name / "outcome.json", ignored);
}

// Another place for runs that has this one (any, for ""): people call moat from a folder below.
std::optional<fs::path> Elsewhere(const std::string& run_root, const std::string& name) {
  if (fs::path(run_root).is_absolute()) return std::nullopt;
  std::error_code failed;
  for (const fs::path& from : {fs::current_path(failed), core::ProgramFolder()}) {
    for (fs::path folder = from; folder.has_relative_path(); folder = folder.parent_path()) {
      const fs::path candidate = folder / run_root;
      if (!fs::equivalent(candidate, run_root, failed) && HoldsRun(candidate, name)) {
        return candidate;
      }
    }
  }
  return std::nullopt;
}

[[noreturn]] void RefuseMissing(const std::string& run_root, const std::string& name,
                                const std::string& what) {
  throw core::ConfigError(what + " in " + run_root + HintOfRun(run_root, name));
}

}  // namespace

std::vector<std::string> RunNames(const std::string& run_root) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(run_root, ignored)) {
    if (fs::exists(entry.path() / "outcome.json", ignored)) {
      names.push_back(entry.path().filename());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string HintOfRun(const std::string& run_root, const std::string& name) {
  if (const auto place = Elsewhere(run_root, name)) {
    return "; " + place->string() + " has " + (name.empty() ? "some" : "it") +
           ": --run_root=" + place->string();
  }
  if (name.empty()) {
    return "; moat launch starts one, --run_root=DIR names another directory of runs";
  }
  const std::string nearest = core::NearestName(name, RunNames(run_root));
  return nearest.empty() ? "; moat runs lists them" : "; did you mean " + nearest + "?";
}

void CheckRunExists(const std::string& run_root, const std::string& name) {
  const rundir::RunLayout layout = rundir::LayoutOf(run_root, name);
  if (fs::exists(layout.outcome())) return;
  if (fs::exists(SweepFile(layout))) {
    throw core::ConfigError(name + " is a sweep; moat runs --run_root=" + layout.root.string() +
                            " lists its runs");
  }
  RefuseMissing(run_root, name, "there is no run " + name);
}

std::string ChooseRun(const std::string& run_root, const std::string& named, bool running) {
  if (!named.empty()) {
    CheckRunExists(run_root, named);
    return named;
  }
  std::string newest;
  fs::file_time_type newest_time;
  for (const std::string& name : RunNames(run_root)) {
    const rundir::RunLayout layout = rundir::LayoutOf(run_root, name);
    std::error_code failed;
    const auto time = fs::last_write_time(layout.outcome(), failed);
    if (failed || (!newest.empty() && time <= newest_time)) continue;
    const auto outcome = rundir::ConcludeOutcome(layout);
    if (!outcome || (running && outcome->state != rundir::RunState::kRunning)) continue;
    newest = name;
    newest_time = time;
  }
  if (newest.empty()) {
    RefuseMissing(run_root, "", running ? "no run is running" : "there are no runs");
  }
  return newest;
}

}  // namespace moat::launch
