// Why a run ended.
#include "launch/why.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "core/error.h"
#include "launch/advice.h"
#include "launch/progress.h"
#include "launch/run_list.h"
#include "launch/run_logs.h"
#include "launch/submit.h"
#include "launch/verdict.h"
#include "rundir/board.h"
#include "rundir/failure.h"
#include "rundir/outcome.h"

namespace moat::launch {
namespace {

using core::ExitCode;

constexpr size_t kMostFailures = 3;
constexpr size_t kMostHangLines = 4;
constexpr size_t kMostLogLines = 5;

bool Says(const std::string& text, std::string_view what) {
  return text.find(what) != std::string::npos;
}

// `error_class` as in outcome.json; `what` is the first failure's.
CauseClass CauseOf(const std::string& error_class, const std::string& what) {
  const std::pair<const char*, CauseClass> kCauses[] = {
      {core::ExitCodeName(ExitCode::kConfig), CauseClass::kUser},
      {core::ExitCodeName(ExitCode::kData), CauseClass::kData},
      {core::ExitCodeName(ExitCode::kNode), CauseClass::kNode},
      {core::ExitCodeName(ExitCode::kBug), CauseClass::kBug},
      {core::ExitCodeName(ExitCode::kOutOfMemory), CauseClass::kOutOfMemory},
      {core::ExitCodeName(ExitCode::kStorage), CauseClass::kStorage},
      {core::ExitCodeName(ExitCode::kPreempted), CauseClass::kPreemption},
      {core::ExitCodeName(ExitCode::kStopped), CauseClass::kUser},
      {core::ExitCodeName(ExitCode::kNumerics), CauseClass::kNan},
      {kHangClass, CauseClass::kHang}};
  for (const auto& [name, cause] : kCauses) {
    if (error_class == name) return cause;
  }
  if (error_class != core::ExitCodeName(ExitCode::kPeer)) return CauseClass::kNone;
  // Missed at a collective, or deaf to a request to end: it was there. Else it was lost.
  const bool was_there = what.starts_with("lost peer: ") || what.starts_with("did not end within");
  return was_there ? CauseClass::kHang : CauseClass::kNode;
}

// A run that was given up ended the same way several times: what its last attempt died of.
std::string ClassOfAttempt(const rundir::RunLayout& layout, int attempt) {
  if (std::filesystem::exists(layout.hang(attempt))) return kHangClass;
  const auto failures = rundir::ReadFailures(layout, attempt);
  return core::ExitCodeName(failures.empty() ? ExitCode::kPeer : failures.front().code);
}

bool IsTelling(const std::string& line) {
  for (const char* sign : {"error", "warning", "signal", "terminate called", "what()", "Killed",
                           "asked to stop", "not enough slots", "Assertion"}) {
    if (Says(line, sign)) return true;
  }
  return false;
}

void AddLogs(const rundir::RunLayout& layout, int attempt, std::vector<Evidence>* evidence) {
  const auto attempts = Attempts(layout);
  if (std::find(attempts.begin(), attempts.end(), attempt) == attempts.end()) return;
  std::vector<std::string> telling;
  for (const LogLine& line : LogReader(layout, attempt).Read(std::nullopt)) {
    if (IsTelling(line.text)) telling.push_back(line.text);
  }
  const size_t left_out = telling.size() - std::min(telling.size(), kMostLogLines);
  const std::string folder = layout.logs(attempt).lexically_relative(layout.root);
  for (size_t i = left_out; i < telling.size(); ++i) {
    evidence->push_back({folder + "/node-*.log", telling[i]});
  }
}

void AddHang(const rundir::RunLayout& layout, int attempt, std::vector<Evidence>* evidence) {
  const std::filesystem::path path = layout.hang(attempt);
  std::ifstream file(path);
  std::string line;
  for (size_t i = 0; i < kMostHangLines && std::getline(file, line) && !line.empty(); ++i) {
    evidence->push_back({path.lexically_relative(layout.root), line});
  }
}

std::string StateText(const rundir::Outcome& outcome, bool live) {
  const std::string state = std::string("state ") + rundir::Name(outcome.state);
  if (live || outcome.state == rundir::RunState::kLost) {  // nobody has written how it ended
    return state + ", attempts " + std::to_string(outcome.attempts);
  }
  return state + ", class " + outcome.error_class + ", exit code " +
         std::to_string(outcome.exit_code) + ", step " + std::to_string(outcome.step);
}

std::vector<Evidence> Collect(const rundir::RunLayout& layout, const RunSummary& run, int attempt,
                              int rank) {
  std::vector<Evidence> evidence = {{"outcome.json", StateText(run.outcome, run.live())}};
  if (attempt < 0) return evidence;
  const auto relative = [&](const std::filesystem::path& path) {
    return path.lexically_relative(layout.root).string();
  };
  const auto failures = rundir::ReadFailures(layout, attempt);
  for (size_t i = 0; i < std::min(failures.size(), kMostFailures); ++i) {
    evidence.push_back({relative(layout.failure(attempt, failures[i].rank)), failures[i].what});
  }
  AddHang(layout, attempt, &evidence);
  if (const auto board = rundir::ReadBoard(layout.board(attempt, std::max(rank, 0)))) {
    evidence.push_back({relative(layout.board(attempt, std::max(rank, 0))), board->text()});
  }
  AddLogs(layout, attempt, &evidence);
  return evidence;
}

std::string Sentence(const RunSummary& run, const std::string& failure,
                     const rundir::RunLayout& layout) {
  const rundir::Outcome& outcome = run.outcome;
  const std::string at = " at step " + std::to_string(outcome.step);
  switch (outcome.state) {
    case rundir::RunState::kQueued:
    case rundir::RunState::kRunning:
      return Progress(run, layout);
    case rundir::RunState::kDone:
      return "it is done" + at;
    case rundir::RunState::kLost:
      return "its launcher is gone without a word" + at + ": killed, or its host went down";
    case rundir::RunState::kPreempted:
      return failure.empty() ? "it was asked to end, and saved" + at : failure;
    case rundir::RunState::kStopped:
      return failure.empty() ? "somebody stopped it, and it saved" + at : failure;
    case rundir::RunState::kFailed:
      return failure.empty() ? "it failed" + at : failure;
  }
  return "";
}

}  // namespace

const char* Name(CauseClass cause) {
  switch (cause) {
    case CauseClass::kNone:
      return "none";
    case CauseClass::kOutOfMemory:
      return "out_of_memory";
    case CauseClass::kNan:
      return "nan";
    case CauseClass::kHang:
      return "hang";
    case CauseClass::kData:
      return "data";
    case CauseClass::kStorage:
      return "storage";
    case CauseClass::kPreemption:
      return "preemption";
    case CauseClass::kNode:
      return "node";
    case CauseClass::kUser:
      return "user";
    case CauseClass::kBug:
      return "bug";
  }
  return "unknown";
}

Why Explain(const std::string& run_root, const std::string& run) {
  const rundir::RunLayout layout = rundir::LayoutOf(run_root, run);
  std::vector<RunSummary> runs = {RunReader(run_root).Read(run)};
  AddJobs(run_root, &runs);
  const RunSummary& summary = runs.front();
  const rundir::Outcome& outcome = summary.outcome;
  Why why;
  why.run = run;
  why.state = outcome.state;
  why.attempt = outcome.attempts - 1;
  why.error_class = outcome.error_class;
  const rundir::FirstFailure failure = outcome.first_failure.value_or(rundir::FirstFailure{});
  why.rank = failure.rank;
  why.host = failure.host;
  why.what = Sentence(summary, failure.what, layout);
  if (outcome.state == rundir::RunState::kLost) {
    why.cause = CauseClass::kNode;
  } else if (outcome.error_class == core::ExitCodeName(ExitCode::kDoNotRequeue)) {
    why.cause = CauseOf(ClassOfAttempt(layout, why.attempt), failure.what);
  } else {
    why.cause = CauseOf(outcome.error_class, failure.what);
  }
  why.evidence = Collect(layout, summary, why.attempt, why.rank);
  const Advice advice = AdviceFor(why, layout);
  why.advice = advice.text;
  why.command = advice.command;
  return why;
}

std::string ToText(const Why& why) {
  const bool ended = why.cause != CauseClass::kNone;
  std::string text =
      "run " + why.run + ": " + (ended ? Name(why.cause) : rundir::Name(why.state)) + "\n  ";
  if (why.rank >= 0) text += "rank " + std::to_string(why.rank) + " on " + why.host + ": ";
  text += why.what + "\n";
  for (const Evidence& one : why.evidence) text += "  " + one.file + ": " + one.text + "\n";
  if (!why.command.empty()) text += why.advice + ":\n  " + why.command + "\n";
  return text;
}

std::string ToJson(const Why& why) {
  nlohmann::ordered_json json = {
      {"run", why.run},           {"state", rundir::Name(why.state)},
      {"class", Name(why.cause)}, {"what", why.what},
      {"rank", why.rank},         {"host", why.host},
      {"attempt", why.attempt},   {"advice", why.advice},
      {"command", why.command},   {"evidence", nlohmann::ordered_json::array()}};
  for (const Evidence& one : why.evidence) {
    json["evidence"].push_back({{"file", one.file}, {"text", one.text}});
  }
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace moat::launch
