// The runs under a directory.
#include "launch/run_list.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "configs/train_config.h"
#include "core/error.h"
#include "core/units.h"
#include "launch/identity.h"
#include "launch/or_null.h"
#include "launch/run_choice.h"
#include "rundir/board.h"

namespace moat::launch {
namespace {

using nlohmann::ordered_json;

std::string Number(const char* format, const std::optional<double>& value) {
  if (!value) return "-";
  char text[64];
  std::snprintf(text, sizeof text, format, *value);
  return text;
}

// Of run.flags, which every version of moat writes the same way. nullopt: not there yet.
std::optional<std::string> FlagOf(const rundir::RunLayout& layout, const std::string& flag) {
  const std::string start = "--" + flag + "=";
  std::ifstream file(layout.flags());
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(start)) return line.substr(start.size());
  }
  return std::nullopt;
}

// Of a run that has not ended in order outcome.json says what was so when the attempt began.
bool CouldGoOn(const rundir::RunLayout& layout) {
  configs::TrainConfig config;
  config.local_checkpoint_dir = FlagOf(layout, "local_checkpoint_dir").value_or("");
  return KeptStep(config, layout) >= 0;
}

std::string Row(const std::vector<std::string>& cells) {
  constexpr int kWidths[] = {-24, -10, 15, 5, 10, 10, 9, 8};
  std::string row;
  for (size_t i = 0; i < cells.size(); ++i) {
    char cell[160];
    std::snprintf(cell, sizeof cell, "%*s", kWidths[i], cells[i].c_str());
    row += (i == 0 ? "" : " ") + std::string(cell);
  }
  return row + "\n";
}

std::string Row(const RunSummary& run) {
  const bool running = run.outcome.state == rundir::RunState::kRunning;
  std::string steps = std::to_string(run.step), share = "-", rate = "-", eta = "-";
  if (run.target && *run.target > 0) {
    steps += "/" + std::to_string(*run.target);
    share = std::to_string(100 * run.step / *run.target) + "%";
  }
  if (run.last) rate = core::FormatCount(run.last->tokens_per_second);
  if (run.last && running) eta = core::FormatSeconds(run.last->eta_seconds);
  const auto loss = run.last ? std::optional(run.last->loss) : std::nullopt;
  return Row({run.name, rundir::Name(run.outcome.state), steps, share, Number("%.4f", loss),
              Number("%.4f", run.val_loss), rate, eta});
}

ordered_json SummaryJson(const RunSummary& run) {
  ordered_json json = {{"run", run.name}};
  json.update(ordered_json::parse(rundir::ToJson(run.outcome)));
  if (run.live() || run.outcome.state == rundir::RunState::kLost) {
    json["class"] = nullptr;
    json["exit_code"] = nullptr;
  }
  json["step"] = run.step;
  json["target"] = OrNull(run.target);
  json["loss"] = run.last ? ordered_json(run.last->loss) : nullptr;
  json["val_loss"] = OrNull(run.val_loss);
  json["val_bits_per_byte"] = OrNull(run.val_bits_per_byte);
  json["tokens_per_second"] = run.last ? ordered_json(run.last->tokens_per_second) : nullptr;
  const bool eta = run.last && run.outcome.state == rundir::RunState::kRunning;
  json["eta_seconds"] = eta ? ordered_json(run.last->eta_seconds) : nullptr;
  json["doing"] = run.doing.empty() ? ordered_json(nullptr) : ordered_json(run.doing);
  if (run.job) {
    json["job"] = {{"id", run.job->id}, {"state", run.job->state}, {"reason", run.job->reason}};
  }
  return json;
}

std::string Dump(const ordered_json& json, int indent) {
  return json.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace

RunSummary RunReader::Read(const std::string& name) {
  CheckRunExists(run_root_, name);
  const rundir::RunLayout layout = rundir::LayoutOf(run_root_, name);
  RunSummary run;
  run.name = name;
  run.outcome = rundir::ConcludeOutcome(layout).value_or(rundir::Outcome{});
  run.step = run.outcome.step;
  if (const auto steps = FlagOf(layout, "steps")) {
    run.target = std::strtoll(steps->c_str(), nullptr, 10);
  }
  if (run.outcome.state == rundir::RunState::kRunning ||
      run.outcome.state == rundir::RunState::kLost) {
    run.outcome.resumable = CouldGoOn(layout);
  }
  auto& reader = metrics_.try_emplace(name, layout.metrics()).first->second;
  const rundir::Metrics& metrics = reader.Read();
  if (!metrics.steps.empty()) {
    run.step = metrics.steps.rbegin()->first;
    run.last = metrics.steps.rbegin()->second;
  }
  if (!metrics.evaluations.empty()) {
    run.val_loss = metrics.evaluations.rbegin()->second.val_loss;
    run.val_bits_per_byte = metrics.evaluations.rbegin()->second.val_bits_per_byte;
  }
  if (run.outcome.state == rundir::RunState::kRunning && run.outcome.attempts > 0) {
    const auto board = rundir::ReadBoard(layout.board(run.outcome.attempts - 1, 0));
    if (board) run.doing = rundir::Name(board->phase);
  }
  return run;
}

std::vector<RunSummary> RunReader::ReadAll() {
  std::vector<RunSummary> runs;
  for (const std::string& name : RunNames(run_root_)) {
    try {
      runs.push_back(Read(name));
    } catch (const core::Error& error) {
      std::fprintf(stderr, "moat: warning: %s\n", error.what());
    }
  }
  return runs;
}

std::string ToText(const std::vector<RunSummary>& runs) {
  std::string text = Row({"run", "state", "step", "done", "loss", "val loss", "tok/s", "eta"});
  for (const RunSummary& run : runs) text += Row(run);
  return text;
}

std::string ToText(const RunSummary& run) {
  std::string text = ToText(std::vector<RunSummary>{run});
  const rundir::Outcome& outcome = run.outcome;
  text += "attempts: " + std::to_string(outcome.attempts) + "\n";
  if (!run.doing.empty()) text += "doing: " + run.doing + "\n";
  if (run.val_bits_per_byte) {
    text += "validation bits per byte: " + Number("%.4f", run.val_bits_per_byte) + "\n";
  }
  if (!run.live() && outcome.state != rundir::RunState::kLost) {
    text += "exit code: " + std::to_string(outcome.exit_code) + " (" + outcome.error_class + ")\n";
  }
  if (const auto& failure = outcome.first_failure) {
    text += "first failure: " +
            (failure->rank >= 0
                 ? "rank " + std::to_string(failure->rank) + " on " + failure->host + ": "
                 : std::string()) +
            failure->what + "\n";
  }
  if (outcome.first_failure || outcome.state == rundir::RunState::kLost) {
    text += "moat why " + run.name + " says what to do\n";
  }
  if (run.job) return text + "in the queue: " + Describe(*run.job) + "\n";
  if (outcome.resumable && !run.live()) text += "resumable: launch it again to go on\n";
  return text;
}

std::string ToJson(const std::vector<RunSummary>& runs, int indent) {
  auto array = ordered_json::array();
  for (const RunSummary& run : runs) array.push_back(SummaryJson(run));
  return Dump(array, indent);
}

std::string ToJson(const RunSummary& run, int indent) { return Dump(SummaryJson(run), indent); }

}  // namespace moat::launch
