// The driver of a sweep.
#include "launch/sweep.h"

#include <poll.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "core/clock.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/logging.h"
#include "core/units.h"
#include "launch/identity.h"
#include "launch/launched_run.h"
#include "launch/signal_source.h"
#include "launch/slurm_queue.h"
#include "launch/submission.h"
#include "rundir/layout.h"
#include "rundir/lease.h"
#include "rundir/outcome.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;

constexpr double kRenewSeconds = 10;

configs::LaunchConfig ConfigOfRun(const std::vector<std::string>& flags) {
  return configs::LaunchConfigFromFlags(configs::CommandLine::Parse("launch", flags));
}

fs::path SharedFlags(const rundir::RunLayout& sweep) { return sweep.root / "sweep.flags"; }

// Runs that Slurm has or will start must not be started here.
void CheckQueue(const rundir::RunLayout& sweep, const SweepPlan& plan) {
  if (!fs::exists(sweep.job_script())) return;
  const fs::path root = fs::weakly_canonical(sweep.root);
  std::vector<QueuedJob> jobs;
  try {
    jobs = QueuedJobs();
  } catch (const core::ConfigError& error) {
    core::Log(core::Log::kWarning) << error.what();
    return;
  }
  for (const SweepRun& run : plan.runs) {
    const auto job = ActiveJob({root / run.run}, jobs);
    if (!job) continue;
    const std::string name = root.filename();
    throw core::ConfigError(root.string() + " is a sweep on Slurm: " + Describe(*job) +
                            " has its " + "run " + std::to_string(run.number) +
                            "; go on with --on=slurm, or stop it first (moat stop " + name + ")");
  }
}

class Driver {
 public:
  Driver(const configs::CommandLine& line, const SweepPlan& plan, fs::path moat, int cores)
      : line_(line), plan_(plan), moat_(std::move(moat)), root_(LayoutOfSweep(line).root) {
    const configs::TrainConfig train = ConfigOfRun(Flags(plan.runs.front())).train;
    const int ranks = std::max(train.dp, 1) * train.tp;
    const auto asked = static_cast<int>(line.Int("parallel"));
    parallel_ = asked > 0 ? asked : SideBySide(cores, ranks, train.threads);
    const bool varied = std::count(plan.flags.begin(), plan.flags.end(), "threads") > 0;
    if (train.threads == 0 && parallel_ > 1 && !varied)
      threads_ = std::max(1, cores / (ranks * parallel_));
  }

  int Run() {
    rundir::Lease lease(LayoutOfSweep(line_));
    if (!lease.note().empty()) core::Log() << lease.note();
    CheckQueue({root_}, plan_);
    KeepPlan({root_}, plan_, line_);
    const SignalSource signals;
    for (const SweepRun& run : plan_.runs) {
      if (!IsDone(run)) waiting_.push_back(run.number);
    }
    std::reverse(waiting_.begin(), waiting_.end());
    done_ = plan_.runs.size() - waiting_.size();
    renewed_ = began_ = core::MonotonicSeconds();
    while (true) {
      StartMore();
      if (running_.empty()) return ExitCode();
      Wait(signals);
      Reap();
      if (core::MonotonicSeconds() - renewed_ < kRenewSeconds) continue;
      lease.Renew();
      renewed_ = core::MonotonicSeconds();
    }
  }

 private:
  std::vector<std::string> Flags(const SweepRun& run) const {
    auto flags = FlagsOfRun(line_, plan_, run, root_.string());
    if (threads_ > 0) flags.push_back("--threads=" + std::to_string(threads_));
    return flags;
  }

  bool IsDone(const SweepRun& run) const {
    const auto outcome = rundir::ConcludeOutcome(rundir::LayoutOf(root_.string(), run.run));
    return outcome && outcome->state == rundir::RunState::kDone;
  }

  void StartMore() {
    while (told_ == 0 && !waiting_.empty() && running_.size() < static_cast<size_t>(parallel_)) {
      const SweepRun& run = plan_.runs[static_cast<size_t>(waiting_.back())];
      waiting_.pop_back();
      running_[run.number] =
          std::make_unique<LaunchedRun>(moat_, Flags(run), root_ / (run.run + ".log"));
      Tell("run " + std::to_string(run.number) + " (" + CellText(plan_, run) + " seed " +
           std::to_string(run.seed) + ") started");
    }
  }

  // Until a child ends or a signal comes, which every child hears too.
  void Wait(const SignalSource& signals) {
    constexpr int kMilliseconds = 1000;
    pollfd ready{signals.fd(), POLLIN, 0};
    poll(&ready, 1, kMilliseconds);
    for (int number = signals.Next(); number != 0; number = signals.Next()) {
      if (number == SIGCHLD) continue;
      told_ = told_ == 0 ? number : told_;
      for (const auto& [_, child] : running_) child->Signal(number);
    }
  }

  void Reap() {
    for (auto child = running_.begin(); child != running_.end();) {
      const auto code = child->second->ExitCode();
      if (!code) {
        ++child;
        continue;
      }
      const SweepRun& run = plan_.runs[static_cast<size_t>(child->first)];
      child = running_.erase(child);
      ++ended_;
      done_ += *code == 0 ? 1 : 0;
      if (*code != 0) codes_[run.number] = *code;
      Tell("run " + std::to_string(run.number) + " (" + CellText(plan_, run) + " seed " +
           std::to_string(run.seed) + ") " +
           (*code == 0 ? "is done"
                       : "ended with " + std::to_string(*code) + ": see " +
                             (root_ / (run.run + ".log")).string()));
    }
  }

  void Tell(const std::string& what) const {
    std::string text = what + "; " + std::to_string(done_) + " of " +
                       std::to_string(plan_.runs.size()) + " done, " +
                       std::to_string(running_.size()) + " running, " +
                       std::to_string(codes_.size()) + " failed";
    const size_t left = waiting_.size() + running_.size();
    if (ended_ > 0 && left > 0 && told_ == 0) {
      const double each = (core::MonotonicSeconds() - began_) / static_cast<double>(ended_);
      text += ", about " + core::FormatSeconds(each * static_cast<double>(left)) + " left";
    }
    core::Log() << text;
  }

  int ExitCode() const {
    if (done_ == plan_.runs.size()) return 0;
    if (told_ != 0) {
      return static_cast<int>(told_ == SIGINT ? core::ExitCode::kStopped
                                              : core::ExitCode::kPreempted);
    }
    return codes_.begin()->second;
  }

  const configs::CommandLine& line_;
  const SweepPlan& plan_;
  const fs::path moat_;
  const fs::path root_;
  int parallel_ = 1;
  int threads_ = 0;           // for each rank, where the flags leave them open
  std::vector<int> waiting_;  // numbers, the next one last
  std::map<int, std::unique_ptr<LaunchedRun>> running_;
  std::map<int, int> codes_;  // of runs that ended otherwise than done
  size_t done_ = 0;
  size_t ended_ = 0;  // since began_
  double began_ = 0;
  double renewed_ = 0;
  int told_ = 0;  // the first signal
};

}  // namespace

std::vector<std::string> FlagsOfRun(const configs::CommandLine& line, const SweepPlan& plan,
                                    const SweepRun& run, const std::string& sweep_directory) {
  std::set<std::string> own(plan.flags.begin(), plan.flags.end());
  own.insert("seed");
  std::vector<std::string> flags = LaunchFlags(line, own);
  for (size_t i = 0; i < plan.flags.size(); ++i) {
    flags.push_back("--" + plan.flags[i] + "=" + run.values[i]);
  }
  flags.push_back("--seed=" + std::to_string(run.seed));
  flags.push_back("--run_root=" + sweep_directory);
  flags.push_back("--run=" + run.run);
  return flags;
}

rundir::RunLayout LayoutOfSweep(const configs::CommandLine& line) {
  return rundir::LayoutOf(line.value("run_root"), line.value("run"));
}

void CheckIsSweep(const rundir::RunLayout& sweep, const SweepPlan& plan,
                  const configs::CommandLine& line) {
  if (fs::exists(sweep.outcome())) {
    throw core::ConfigError(sweep.root.string() +
                            " holds a run, not a sweep; choose another --run");
  }
  if (!fs::exists(SweepFile(sweep))) return;
  const std::string differences =
      LineDifferences(core::ReadWholeFile(SharedFlags(sweep)), line.ResolvedFlags("train")) +
      LineDifferences(core::ReadWholeFile(SweepFile(sweep)), ToTsv(plan));
  if (differences.empty()) return;
  throw core::ConfigError(sweep.root.string() +
                          " holds another sweep; choose another --run, or give the flags it began "
                          "with. What differs (- there, + now):" +
                          differences);
}

void KeepPlan(const rundir::RunLayout& sweep, const SweepPlan& plan,
              const configs::CommandLine& line) {
  if (fs::exists(SweepFile(sweep))) return;
  core::WriteFileAtomically(SharedFlags(sweep), line.ResolvedFlags("train"));
  core::WriteFileAtomically(SweepFile(sweep), ToTsv(plan));
}

namespace {

void CheckPlace(const configs::CommandLine& line) {
  const std::string on = line.value("on");
  if (on == "slurm") return;
  if (on != "local") {
    throw core::ConfigError("--on=" + on + ": expected local or slurm for a sweep");
  }
  if (line.Bool("parsable")) {
    throw core::ConfigError("--parsable prints the number of a job: it goes with --on=slurm");
  }
  if (line.Bool("preflight")) {
    throw core::ConfigError(
        "--preflight: runs side by side on this machine would measure each other; moat doctor "
        "measures it, and with --on=slurm each run measures its nodes");
  }
}

}  // namespace

SweepPlan PlanOf(const configs::CommandLine& line) {
  CheckPlace(line);
  std::vector<Variation> variations;
  for (const std::string& text : line.values("vary")) variations.push_back(ParseVariation(text));
  if (line.value("run").empty()) {
    throw core::ConfigError("--run=NAME is missing: name the sweep");
  }
  if (line.Int("parallel") < 0) throw core::ConfigError("--parallel: expected 0 or more");
  SweepPlan plan = PlanSweep(variations, static_cast<int>(line.Int("seeds")),
                             std::strtoull(line.value("seed").c_str(), nullptr, 10));
  const std::string root = LayoutOfSweep(line).root.string();
  int checked = -1;
  for (const SweepRun& run : plan.runs) {
    if (run.cell == checked) continue;
    checked = run.cell;
    try {
      ConfigOfRun(FlagsOfRun(line, plan, run, root));
    } catch (const core::ConfigError& error) {
      throw core::ConfigError("cell " + std::to_string(run.cell) + " (" + CellText(plan, run) +
                              "): " + error.what());
    }
  }
  return plan;
}

int SideBySide(int cores, int ranks, int threads) {
  return threads > 0 ? std::max(1, cores / (ranks * threads)) : 1;
}

namespace {

// Else every run would find out by itself.
void CheckDataOfCells(const configs::CommandLine& line, const SweepPlan& plan) {
  const std::string root = LayoutOfSweep(line).root.string();
  int checked = -1;
  for (const SweepRun& run : plan.runs) {
    if (std::exchange(checked, run.cell) == run.cell) continue;
    CheckData(ConfigOfRun(FlagsOfRun(line, plan, run, root)).train.data);
  }
}

}  // namespace

int RunSweep(const configs::CommandLine& line, const fs::path& moat, int cores) {
  const SweepPlan plan = PlanOf(line);
  const rundir::RunLayout sweep = LayoutOfSweep(line);
  CheckIsSweep(sweep, plan, line);
  CheckDataOfCells(line, plan);
  core::MakeDirectories(sweep.root);
  return Driver(line, plan, moat, cores).Run();
}

}  // namespace moat::launch
