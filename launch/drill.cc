// Drilling a run.
#include "launch/drill.h"

#include <poll.h>
#include <signal.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/durable_file.h"
#include "core/error.h"
#include "core/logging.h"
#include "launch/launched_run.h"
#include "launch/or_null.h"
#include "launch/signal_source.h"
#include "rundir/board.h"
#include "rundir/layout.h"
#include "rundir/outcome.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr char kUndisturbed[] = "undisturbed";
constexpr char kDrilled[] = "drilled";

bool SameBits(double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0; }

std::string Exact(std::optional<double> value) {
  if (!value) return "none";
  char text[64];
  std::snprintf(text, sizeof text, "%.17g", *value);
  return text;
}

class Drill {
 public:
  Drill(const configs::CommandLine& line, fs::path moat)
      : line_(line),
        moat_(std::move(moat)),
        strike_at_(line.Int("kill_at")),
        rank_(static_cast<int>(line.Int("kill_rank"))),
        preempts_(line.value("how") == "preempt") {
    if (line.value("run").empty()) {
      throw core::ConfigError("--run=NAME is missing: name the drill");
    }
    root_ = rundir::LayoutOf(line.value("run_root"), line.value("run")).root;
    const auto config =
        configs::LaunchConfigFromFlags(configs::CommandLine::Parse("launch", Flags(kDrilled)));
    const int ranks = std::max(config.train.dp, 1) * config.train.tp;
    if (const std::string how = line.value("how"); how != "kill" && how != "preempt") {
      throw core::ConfigError("--how=" + how + ": expected kill or preempt");
    }
    if (strike_at_ < 1 || strike_at_ >= config.train.steps) {
      throw core::ConfigError(
          "--kill_at=" + std::to_string(strike_at_) + ": expected a step from " + "1 to " +
          std::to_string(config.train.steps - 1) + ", before the end (--steps)");
    }
    if (rank_ < 0 || rank_ >= ranks) {
      throw core::ConfigError("--kill_rank=" + std::to_string(rank_) +
                              ": expected a rank from 0 to " + std::to_string(ranks - 1));
    }
  }

  DrillReport Run() {
    core::MakeDirectories(root_);
    if (fs::exists(root_ / "outcome.json")) {
      throw core::ConfigError(root_.string() + " holds a run; choose another --run for the drill");
    }
    RunUndisturbed();
    RunDrilled();
    DrillReport report = CompareSides(SideOf(kUndisturbed), SideOf(kDrilled));
    report.attempts = Outcome(kDrilled)->attempts;
    if (report.attempts < 2) {
      throw core::PeerError("run " + std::string(kDrilled) + " in " + root_.string() +
                            " ended before it was struck; strike earlier (--kill_at) or choose " +
                            "another --run");
    }
    return report;
  }

 private:
  rundir::RunLayout Layout(const std::string& run) const {
    return rundir::LayoutOf(root_.string(), run);
  }
  std::optional<rundir::Outcome> Outcome(const std::string& run) const {
    return rundir::ConcludeOutcome(Layout(run));
  }
  bool IsDone(const std::string& run) const {
    const auto outcome = Outcome(run);
    return outcome && outcome->state == rundir::RunState::kDone;
  }
  fs::path Log(const std::string& run) const { return root_ / (run + ".log"); }

  std::vector<std::string> Flags(const std::string& run) const {
    auto flags = LaunchFlags(line_);
    flags.push_back("--run_root=" + root_.string());
    flags.push_back("--run=" + run);
    return flags;
  }

  DrillSide SideOf(const std::string& run) const {
    return {rundir::ReadMetrics(Layout(run).metrics()), StateHashIn(core::ReadWholeFile(Log(run)))};
  }

  // Its exit code. `look` is called again and again while it runs. A signal to the drill stops it.
  int Launch(const std::string& run, const std::function<void(const LaunchedRun&)>& look) {
    constexpr int kMilliseconds = 5;
    const SignalSource signals;
    LaunchedRun launched(moat_, Flags(run), Log(run));
    int told = 0;
    while (true) {
      if (const auto code = launched.ExitCode()) {
        if (told == 0) return *code;
        throw core::Error(
            told == SIGINT ? core::ExitCode::kStopped : core::ExitCode::kPreempted,
            "the drill was told to stop; run " + run + " has ended with " + std::to_string(*code));
      }
      for (int number = signals.Next(); number != 0; number = signals.Next()) {
        if (number == SIGCHLD) continue;
        told = number;
        launched.Signal(number);
      }
      look(launched);
      poll(nullptr, 0, kMilliseconds);
    }
  }

  [[noreturn]] void Failed(const std::string& run, int code) const {
    throw core::PeerError("run " + run + " of the drill ended with " + std::to_string(code) +
                          "; expected 0; " + Log(run).string() + " says why");
  }

  void RunUndisturbed() {
    if (IsDone(kUndisturbed)) return;
    const int code = Launch(kUndisturbed, [](const LaunchedRun&) {});
    if (code != 0) Failed(kUndisturbed, code);
    core::Log() << "the undisturbed run is done";
  }

  // Struck once, at the first step from the chosen one on.
  void RunDrilled() {
    if (IsDone(kDrilled)) return;
    if (Outcome(kDrilled)) {
      throw core::ConfigError(Layout(kDrilled).root.string() +
                              " is there and not done: an earlier drill broke off; choose another "
                              "--run");
    }
    rundir::MetricsReader metrics(Layout(kDrilled).metrics());
    bool struck = false;
    const auto look = [&](const LaunchedRun& run) {
      if (struck) return;
      const auto& steps = metrics.Read().steps;
      if (!steps.empty() && steps.rbegin()->first >= strike_at_) {
        struck = Strike(run, steps.rbegin()->first);
      }
    };
    int code = Launch(kDrilled, look);
    if (preempts_ && struck && code == static_cast<int>(core::ExitCode::kPreempted)) {
      code = Launch(kDrilled, look);
    }
    if (code != 0) Failed(kDrilled, code);
  }

  // Whether it could: a rank that has no process on this host cannot be killed.
  bool Strike(const LaunchedRun& run, int64_t step) const {
    if (preempts_) {
      run.Signal(SIGUSR1);
    } else {
      const auto board = rundir::ReadBoard(Layout(kDrilled).board(0, rank_));
      if (!board || board->pid <= 0 || kill(static_cast<pid_t>(board->pid), SIGKILL) != 0) {
        return false;
      }
    }
    core::Log() << (preempts_ ? std::string("preempted the run")
                              : "killed rank " + std::to_string(rank_))
                << " at step " << step;
    return true;
  }

  const configs::CommandLine& line_;
  const fs::path moat_;
  fs::path root_;
  const int64_t strike_at_;
  const int rank_;
  const bool preempts_;
};

}  // namespace

DrillReport CompareSides(const DrillSide& undisturbed, const DrillSide& drilled) {
  DrillReport report;
  report.hash_undisturbed = undisturbed.state_hash;
  report.hash_drilled = drilled.state_hash;
  const auto& a = undisturbed.metrics.steps;
  const auto& b = drilled.metrics.steps;
  auto left = a.begin();
  auto right = b.begin();
  while (left != a.end() || right != b.end()) {
    const bool only_left = right == b.end() || (left != a.end() && left->first < right->first);
    const bool only_right = left == a.end() || (right != b.end() && right->first < left->first);
    if (only_left || only_right || !SameBits(left->second.loss, right->second.loss)) {
      report.differs_at = only_right ? right->first : left->first;
      if (!only_right) report.loss_undisturbed = left->second.loss;
      if (!only_left) report.loss_drilled = right->second.loss;
      return report;
    }
    ++report.steps;
    ++left;
    ++right;
  }
  return report;
}

std::string StateHashIn(const std::string& log) {
  static const std::string mark = "state hash ";
  const size_t at = log.rfind(mark);
  if (at == std::string::npos) return "";
  const size_t begin = at + mark.size();
  return log.substr(begin, log.find_first_not_of("0123456789abcdef", begin) - begin);
}

std::string ToText(const DrillReport& report) {
  const std::string steps = std::to_string(report.steps) + " steps";
  if (report.equal()) {
    return "ok: " + steps + " have equal losses and the state is equal (" + report.hash_drilled +
           "), after " + std::to_string(report.attempts) + " attempts\n";
  }
  if (report.differs_at) {
    return "step " + std::to_string(*report.differs_at) + " differs: loss " +
           Exact(report.loss_undisturbed) + " undisturbed, " + Exact(report.loss_drilled) +
           " drilled; the " + steps + " before are equal\n";
  }
  return "the state differs: " + report.hash_undisturbed + " undisturbed, " + report.hash_drilled +
         " drilled; the losses of all " + steps + " are equal\n";
}

std::string ToJson(const DrillReport& report) {
  return Json{{"equal", report.equal()},
              {"steps", report.steps},
              {"differs_at", report.differs_at ? Json(*report.differs_at) : Json(nullptr)},
              {"loss_undisturbed", OrNull(report.loss_undisturbed)},
              {"loss_drilled", OrNull(report.loss_drilled)},
              {"hash_undisturbed", report.hash_undisturbed},
              {"hash_drilled", report.hash_drilled},
              {"attempts", report.attempts}}
             .dump(2) +
         "\n";
}

DrillReport RunDrill(const configs::CommandLine& line, const fs::path& moat) {
  return Drill(line, moat).Run();
}

}  // namespace moat::launch
