// The commands that look after runs: status, runs, logs, why, stop.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>

#include "configs/command_line.h"
#include "core/error.h"
#include "core/units.h"
#include "launch/run_choice.h"
#include "launch/run_list.h"
#include "launch/run_logs.h"
#include "launch/stop_run.h"
#include "launch/submit.h"
#include "launch/sweep_plan.h"
#include "launch/why.h"
#include "programs/moat/builtin.h"
#include "rundir/lease.h"

namespace moat::programs {

namespace {

using configs::CommandLine;
using Words = std::vector<std::string>;

std::string Named(const CommandLine& line) {
  return line.positional().empty() ? "" : line.positional().front();
}

// Prints what `show` gives, with --follow once a second until it says that nothing changes by
// itself any more; on a terminal over what was printed before, elsewhere where it differs.
int Show(bool follow, const std::function<std::string(bool* live)>& show) {
  constexpr int kMilliseconds = 1000;
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  std::string before;
  while (true) {
    bool live = false;
    const std::string text = show(&live);
    if (text != before) {
      const auto lines = std::count(before.begin(), before.end(), '\n');
      if (terminal && lines > 0) std::cout << "\x1b[" << lines << "A\x1b[J";
      std::cout << text << std::flush;
      before = text;
    }
    if (!follow || !live || !std::cout) return 0;
    poll(nullptr, 0, kMilliseconds);
  }
}

void Print(const std::vector<launch::LogLine>& lines, bool json) {
  for (const launch::LogLine& line : lines) {
    if (!json) {
      std::cout << line.text << "\n";
      continue;
    }
    nlohmann::ordered_json object = {{"rank", nullptr}, {"text", line.text}};
    if (line.rank) object["rank"] = *line.rank;
    std::cout << object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  }
  std::cout << std::flush;
}

}  // namespace

int Status(const Words& arguments) {
  const auto line = CommandLine::Parse("status", arguments);
  if (line.help_printed()) return 0;
  const std::string root = line.value("run_root");
  const std::string name = launch::ChooseRun(root, Named(line));
  const bool json = line.Bool("json"), follow = line.Bool("follow");
  launch::RunReader reader(root);
  return Show(follow, [&](bool* live) {
    std::vector runs = {reader.Read(name)};
    launch::AddJobs(root, &runs);
    const launch::RunSummary& run = runs.front();
    *live = run.live() || run.job;
    return json ? launch::ToJson(run, follow ? -1 : 2) : launch::ToText(run);
  });
}

int Runs(const Words& arguments) {
  const auto line = CommandLine::Parse("runs", arguments);
  if (line.help_printed()) return 0;
  const bool json = line.Bool("json"), follow = line.Bool("follow");
  launch::RunReader reader(line.value("run_root"));
  return Show(follow, [&](bool* live) {
    auto runs = reader.ReadAll();
    launch::AddJobs(line.value("run_root"), &runs);
    *live = std::any_of(runs.begin(), runs.end(),
                        [](const auto& run) { return run.live() || run.job; });
    return json ? launch::ToJson(runs, follow ? -1 : 2) : launch::ToText(runs);
  });
}

int Logs(const Words& arguments) {
  constexpr int kMilliseconds = 100;
  const auto line = CommandLine::Parse("logs", arguments);
  if (line.help_printed()) return 0;
  const std::string root = line.value("run_root");
  const rundir::RunLayout layout = rundir::LayoutOf(root, launch::ChooseRun(root, Named(line)));
  const auto asked = static_cast<int>(line.Int("attempt"));
  const auto rank =
      line.Int("rank") < 0 ? std::nullopt : std::optional(static_cast<int>(line.Int("rank")));
  launch::LogReader reader(layout, asked);
  bool silent = rank.has_value();
  while (true) {
    // Asked before the lines are read: what it says last is not missed.
    const bool held = line.Bool("follow") && rundir::IsHeld(layout);
    const auto lines = reader.Read(rank);
    Print(lines, line.Bool("json"));
    if (!std::cout) return 0;
    if (silent && lines.empty()) {
      const bool may_come = held || (reader.Ranks().empty() && rundir::IsHeld(layout));
      const std::string why = launch::WhySilent(reader, *rank, may_come);
      std::cerr << "moat: " << why << "\n";
    }
    silent = false;
    if (asked < 0 && line.Bool("follow") && reader.Next()) continue;
    if (!held) return 0;
    poll(nullptr, 0, kMilliseconds);
  }
}

int Why(const Words& arguments) {
  const auto line = CommandLine::Parse("why", arguments);
  if (line.help_printed()) return 0;
  const std::string root = line.value("run_root");
  const launch::Why why = launch::Explain(root, launch::ChooseRun(root, Named(line)));
  std::cout << (line.Bool("json") ? launch::ToJson(why) : launch::ToText(why));
  return 0;
}

namespace {

// Of a sweep that of all its runs.
void PrintEnd(const std::string& root, const std::string& name, bool json) {
  const rundir::RunLayout layout = rundir::LayoutOf(root, name);
  if (std::filesystem::exists(launch::SweepFile(layout))) {
    const auto runs = launch::RunReader(layout.root.string()).ReadAll();
    std::cout << (json ? launch::ToJson(runs) : launch::ToText(runs));
  } else {
    const launch::RunSummary run = launch::RunReader(root).Read(name);
    std::cout << (json ? launch::ToJson(run) : launch::ToText(run));
  }
}

}  // namespace

int Stop(const Words& arguments) {
  const auto line = CommandLine::Parse("stop", arguments);
  if (line.help_printed()) return 0;
  const std::string root = line.value("run_root");
  const std::string name = Named(line).empty() ? launch::ChooseRun(root, "", true) : Named(line);
  launch::Stop stop(root, name);
  const std::string asked = stop.Ask();
  const double seconds = line.Double("timeout");
  std::cerr << "moat: told " << asked << " to save " << name << " and end\n";
  const bool over = seconds > 0 && stop.WaitUntilOver(seconds);
  PrintEnd(root, name, line.Bool("json"));
  if (over || seconds <= 0) return 0;
  throw core::PeerError(name + " has not ended after " + core::FormatSeconds(seconds) +
                        " (--timeout); moat status " + name +
                        " says how it is doing, a second moat stop kills it at once");
}

}  // namespace moat::programs
