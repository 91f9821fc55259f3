// The runs under a directory.
#include "launch/run_list.h"

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/clock.h"
#include "core/error.h"
#include "core/host.h"
#include "core/nearest.h"
#include "rundir/lease.h"
#include "rundir/metrics.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> RunNames(const std::string& run_root) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(run_root, ignored)) {
    if (fs::exists(entry.path() / "outcome.json")) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string Number(const char* format, const std::optional<double>& value) {
  if (!value) return "-";
  char text[64];
  std::snprintf(text, sizeof text, format, *value);
  return text;
}

std::string Row(const std::string& name, const std::string& state, const std::string& step,
                const std::string& loss, const std::string& val_loss) {
  char text[256];
  std::snprintf(text, sizeof text, "%-24s %-10s %8s %10s %10s\n", name.c_str(), state.c_str(),
                step.c_str(), loss.c_str(), val_loss.c_str());
  return text;
}

nlohmann::ordered_json Json(const RunSummary& run) {
  nlohmann::ordered_json json = {{"run", run.name}};
  json.update(nlohmann::ordered_json::parse(rundir::ToJson(run.outcome)));
  json["step"] = run.step;
  json["loss"] = run.loss ? nlohmann::ordered_json(*run.loss) : nullptr;
  json["val_loss"] = run.val_loss ? nlohmann::ordered_json(*run.val_loss) : nullptr;
  json["val_bits_per_byte"] =
      run.val_bits_per_byte ? nlohmann::ordered_json(*run.val_bits_per_byte) : nullptr;
  return json;
}

}  // namespace

RunSummary SummaryOf(const std::string& run_root, const std::string& name) {
  const rundir::RunLayout layout = rundir::LayoutOf(run_root, name);
  const auto outcome = rundir::ConcludeOutcome(layout);
  if (!outcome) {
    const std::string nearest = core::NearestName(name, RunNames(run_root));
    throw core::ConfigError(
        "there is no run " + name + " in " + run_root +
        (nearest.empty() ? "; moat runs lists them" : "; did you mean " + nearest + "?"));
  }
  RunSummary run{name, *outcome, outcome->step, {}, {}, {}};
  const rundir::Metrics metrics = rundir::ReadMetrics(layout.metrics());
  if (!metrics.steps.empty()) {
    run.step = metrics.steps.rbegin()->first;
    run.loss = metrics.steps.rbegin()->second.loss;
  }
  if (!metrics.evaluations.empty()) {
    run.val_loss = metrics.evaluations.rbegin()->second.val_loss;
    run.val_bits_per_byte = metrics.evaluations.rbegin()->second.val_bits_per_byte;
  }
  return run;
}

std::vector<RunSummary> ListRuns(const std::string& run_root) {
  std::vector<RunSummary> runs;
  for (const std::string& name : RunNames(run_root)) {
    try {
      runs.push_back(SummaryOf(run_root, name));
    } catch (const core::Error& error) {
      std::fprintf(stderr, "moat: warning: %s\n", error.what());
    }
  }
  return runs;
}

std::string ToText(const std::vector<RunSummary>& runs) {
  std::string text = Row("run", "state", "step", "loss", "val loss");
  for (const RunSummary& run : runs) {
    text += Row(run.name, rundir::Name(run.outcome.state), std::to_string(run.step),
                Number("%.4f", run.loss), Number("%.4f", run.val_loss));
  }
  return text;
}

std::string ToText(const RunSummary& run) {
  std::string text = ToText(std::vector<RunSummary>{run});
  const rundir::Outcome& outcome = run.outcome;
  text += "attempts: " + std::to_string(outcome.attempts) + "\n";
  if (run.val_bits_per_byte) {
    text += "validation bits per byte: " + Number("%.4f", run.val_bits_per_byte) + "\n";
  }
  if (outcome.state != rundir::RunState::kRunning && outcome.state != rundir::RunState::kQueued) {
    text += "exit code: " + std::to_string(outcome.exit_code) + " (" + outcome.error_class + ")\n";
  }
  if (const auto& failure = outcome.first_failure) {
    text += "first failure: rank " + std::to_string(failure->rank) + " on " + failure->host + ": " +
            failure->what + "\n";
  }
  if (outcome.resumable) text += "resumable: launch it again to go on\n";
  return text;
}

std::string ToJson(const std::vector<RunSummary>& runs) {
  auto array = nlohmann::ordered_json::array();
  for (const RunSummary& run : runs) array.push_back(Json(run));
  return array.dump(2) + "\n";
}

std::string ToJson(const RunSummary& run) { return Json(run).dump(2) + "\n"; }

std::string StopRun(const std::string& run_root, const std::string& name) {
  SummaryOf(run_root, name);  // for its refusal
  const auto holder = rundir::ReadLease(rundir::LayoutOf(run_root, name));
  if (!holder || !rundir::IsAlive(*holder, core::WallMicroseconds())) {
    throw core::ConfigError("run " + name + " is not running");
  }
  if (holder->host != core::HostName()) {
    throw core::ConfigError("run " + name + " is held by " + holder->text() +
                            "; run moat stop there");
  }
  if (kill(static_cast<pid_t>(holder->pid), SIGINT) != 0) {
    throw core::ConfigError("cannot signal " + holder->text() + ": " + std::strerror(errno));
  }
  return holder->text();
}

}  // namespace moat::launch
