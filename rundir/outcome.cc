// outcome.json.
#include "rundir/outcome.h"

#include <nlohmann/json.hpp>

#include "core/durable_file.h"
#include "core/error.h"
#include "rundir/lease.h"

namespace moat::rundir {
namespace {

constexpr RunState kStates[] = {RunState::kQueued,    RunState::kRunning, RunState::kDone,
                                RunState::kPreempted, RunState::kStopped, RunState::kFailed,
                                RunState::kLost};

RunState StateNamed(const std::string& name) {
  for (const RunState state : kStates) {
    if (name == Name(state)) return state;
  }
  throw core::DataError("state \"" + name +
                        "\" is not one of queued, running, done, preempted, "
                        "stopped, failed, lost");
}

}  // namespace

const char* Name(RunState state) {
  switch (state) {
    case RunState::kQueued:
      return "queued";
    case RunState::kRunning:
      return "running";
    case RunState::kDone:
      return "done";
    case RunState::kPreempted:
      return "preempted";
    case RunState::kStopped:
      return "stopped";
    case RunState::kFailed:
      return "failed";
    case RunState::kLost:
      return "lost";
  }
  return "unknown";
}

std::string ToJson(const Outcome& outcome) {
  nlohmann::ordered_json json = {{"state", Name(outcome.state)},   {"class", outcome.error_class},
                                 {"exit_code", outcome.exit_code}, {"first_failure", nullptr},
                                 {"step", outcome.step},           {"resumable", outcome.resumable},
                                 {"attempts", outcome.attempts}};
  if (outcome.first_failure) {
    json["first_failure"] = {{"rank", outcome.first_failure->rank},
                             {"host", outcome.first_failure->host},
                             {"what", outcome.first_failure->what}};
  }
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Outcome OutcomeFromJson(const std::string& text, const std::string& where) {
  try {
    const auto json = nlohmann::json::parse(text);
    Outcome outcome;
    outcome.state = StateNamed(json.at("state"));
    outcome.error_class = json.at("class");
    outcome.exit_code = json.at("exit_code");
    outcome.step = json.at("step");
    outcome.resumable = json.at("resumable");
    outcome.attempts = json.at("attempts");
    if (const auto& failure = json.at("first_failure"); !failure.is_null()) {
      outcome.first_failure = {failure.at("rank"), failure.at("host"), failure.at("what")};
    }
    return outcome;
  } catch (const std::exception& error) {
    throw core::DataError(where + " is not an outcome: " + error.what() +
                          "; move it away: a run goes on from its checkpoints alone");
  }
}

void WriteOutcome(const RunLayout& layout, const Outcome& outcome) {
  core::WriteFileAtomically(layout.outcome(), ToJson(outcome));
}

OutcomeRoom::OutcomeRoom(const RunLayout& layout) : layout_(layout) {
  constexpr size_t kBytes = 64 << 10;  // some blocks: the file, its directory entry, a journal
  core::WriteFileAtomically(layout_.outcome_room(), std::string(kBytes, '.'));
}

OutcomeRoom::~OutcomeRoom() {
  std::error_code ignored;
  std::filesystem::remove(layout_.outcome_room(), ignored);
}

void OutcomeRoom::Write(const Outcome& outcome) {
  try {
    WriteOutcome(layout_, outcome);
  } catch (const core::StorageError&) {
    std::filesystem::remove(layout_.outcome_room());
    WriteOutcome(layout_, outcome);
  }
}

std::optional<Outcome> ReadOutcome(const RunLayout& layout) {
  if (!std::filesystem::exists(layout.outcome())) return std::nullopt;
  return OutcomeFromJson(core::ReadWholeFile(layout.outcome()), layout.outcome().string());
}

std::optional<Outcome> ConcludeOutcome(const RunLayout& layout) {
  // The lease first: a run that ends in between writes its outcome before it lets go.
  const bool held = IsHeld(layout);
  std::optional<Outcome> outcome = ReadOutcome(layout);
  if (outcome && outcome->state == RunState::kRunning && !held) outcome->state = RunState::kLost;
  return outcome;
}

RunState StateOf(int exit_code) {
  switch (static_cast<core::ExitCode>(exit_code)) {
    case core::ExitCode::kOk:
      return RunState::kDone;
    case core::ExitCode::kPreempted:
      return RunState::kPreempted;
    case core::ExitCode::kStopped:
      return RunState::kStopped;
    default:
      return RunState::kFailed;
  }
}

}  // namespace moat::rundir
