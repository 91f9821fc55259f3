// Asking a run to end, by a signal to its supervisor or to its job.
#include "launch/stop_run.h"

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/clock.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/host.h"
#include "launch/run_choice.h"
#include "launch/slurm_queue.h"
#include "launch/submission.h"
#include "launch/sweep_plan.h"
#include "rundir/lease.h"
#include "rundir/outcome.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;

// A run whose job left the queue before it started (or started again): nobody else says so.
void SayStopped(const rundir::RunLayout& run) {
  rundir::Outcome outcome = rundir::ReadOutcome(run).value_or(rundir::Outcome{});
  if (outcome.state != rundir::RunState::kQueued && outcome.state != rundir::RunState::kPreempted) {
    return;
  }
  outcome.exit_code = static_cast<int>(core::ExitCode::kStopped);
  outcome.error_class = core::ExitCodeName(core::ExitCode::kStopped);
  outcome.state = rundir::RunState::kStopped;
  rundir::WriteOutcome(run, outcome);
}

}  // namespace

Stop::Stop(const std::string& run_root, const std::string& name)
    : name_(name), home_{fs::weakly_canonical(rundir::LayoutOf(run_root, name).root)} {
  if (fs::exists(SweepFile(home_))) {
    const auto plan = SweepFromTsv(core::ReadWholeFile(SweepFile(home_)), SweepFile(home_));
    for (const SweepRun& run : plan.runs) runs_.push_back({home_.root / run.run});
    submitted_ = fs::exists(home_.job_script());
  } else {
    CheckRunExists(run_root, name);
    runs_ = {home_};
    submitted_ = fs::exists(home_.job_script()) || SweepTaskOf(home_);
  }
}

bool Stop::AskProcess(std::string* who) const {
  const auto holder = rundir::ReadLease(home_);
  if (!holder || !rundir::IsAlive(*holder, core::WallMicroseconds())) return false;
  if (holder->host != core::HostName()) return false;
  if (kill(static_cast<pid_t>(holder->pid), SIGINT) != 0) {
    throw core::ConfigError("cannot signal " + holder->text() + ": " + std::strerror(errno));
  }
  *who = holder->text();
  return true;
}

// Returns how many jobs there were, cancelled ones among them.
size_t Stop::AskJobs(std::string* who) {
  if (!submitted_) return 0;
  const auto task = SweepTaskOf(home_);
  const SubmitLock lock(task ? task->sweep : home_, 0);  // nothing is submitted meanwhile
  std::vector<std::string> pending;
  std::vector<rundir::RunLayout> waiting;
  // Those that are pending first: else they start where others end.
  std::vector<QueuedJob> jobs = QueuedJobs();
  size_t count = 0;
  for (const rundir::RunLayout& run : runs_) {
    const auto job = ActiveJob(run, jobs);
    if (!job) continue;
    ++count;
    *who = Describe(*job);
    if (job->state != "PENDING") continue;
    pending.push_back(job->id);
    waiting.push_back(run);
  }
  if (count > 1) *who = std::to_string(count) + " jobs";
  CancelPending(pending);
  if (!pending.empty()) jobs = QueuedJobs();
  for (const rundir::RunLayout& run : runs_) {
    const auto job = ActiveJob(run, jobs);
    if (job && job->state != "PENDING" && asked_.insert(job->id).second) InterruptJob(job->id);
  }
  for (const rundir::RunLayout& run : waiting) {
    if (!ActiveJob(run, jobs)) SayStopped(run);
  }
  return count;
}

std::string Stop::Ask() {
  std::string who;
  if (AskProcess(&who) || AskJobs(&who) > 0) return who;
  const auto holder = rundir::ReadLease(home_);
  if (holder && rundir::IsAlive(*holder, core::WallMicroseconds())) {
    throw core::ConfigError(name_ + " is held by " + holder->text() + "; run moat stop there");
  }
  throw core::ConfigError(name_ + " is not running");
}

bool Stop::WaitUntilOver(double seconds) {
  const double deadline = core::MonotonicSeconds() + seconds;
  while (true) {
    std::string ignored;
    const bool held = rundir::IsHeld(home_);
    if (!held && AskJobs(&ignored) == 0) return true;
    if (core::MonotonicSeconds() > deadline) return false;
    poll(nullptr, 0, held ? 50 : 500);  // milliseconds; Slurm is not asked as often
  }
}

}  // namespace moat::launch
