// Submitting to Slurm, of a run and of a sweep.
#include "launch/submission.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "core/clock.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/logging.h"
#include "launch/identity.h"
#include "launch/slurm_script.h"
#include "launch/sweep_plan.h"
#include "rundir/lease.h"
#include "rundir/outcome.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;
using rundir::RunState;

constexpr double kSilenceSeconds = 600;  // of Slurm, while a run is waited for

bool IsOver(const QueuedJob& job, const std::optional<rundir::Outcome>& outcome) {
  if (job.state != "COMPLETING") return false;
  const RunState state = outcome ? outcome->state : RunState::kQueued;
  return state == RunState::kDone || state == RunState::kStopped || state == RunState::kFailed;
}

void SayQueued(const rundir::RunLayout& run, const std::optional<rundir::Outcome>& before) {
  rundir::Outcome queued = before.value_or(rundir::Outcome{});
  queued.state = RunState::kQueued;
  queued.error_class = "ok";
  queued.exit_code = 0;
  queued.first_failure.reset();
  rundir::WriteOutcome(run, queued);
}

}  // namespace

SubmitLock::SubmitLock(const rundir::RunLayout& home, int how)
    : home_(home),
      fd_(open((home.launch() / ".submit.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
  held_ = fd_ >= 0 && flock(fd_, LOCK_EX | how) == 0;
}

SubmitLock::~SubmitLock() {
  if (fd_ >= 0) close(fd_);
}

void SubmitLock::Require() const {
  if (held_) return;
  throw core::StorageError("cannot lock " + home_.launch().string() + ": " + std::strerror(errno));
}

JobSpec AsSubmitted(const JobSpec& job, const rundir::RunLayout& home) {
  JobSpec submitted = job;
  const bool installed = job.mpi.mpirun != MpiInstall{}.mpirun;
  if (!installed) submitted.program = home.job_programs() / job.program.filename();
  return submitted;
}

void CopyPrograms(const JobSpec& job, const JobSpec& submitted) {
  const fs::path from = job.program.parent_path(), to = submitted.program.parent_path();
  if (from == to) return;
  core::MakeDirectories(to);
  for (const char* name : {"moat", "moat-train", "moat-probe"}) {
    const fs::path copy = to / (std::string(".") + name);
    std::error_code error;
    fs::copy_file(from / name, copy, fs::copy_options::overwrite_existing, error);
    if (error) {
      throw core::StorageError("cannot copy " + (from / name).string() + " to " + copy.string() +
                               ": " + error.message());
    }
    core::SyncFile(copy);
    core::RenameDurably(copy, to / name);
  }
}

std::optional<SweepTask> SweepTaskOf(const rundir::RunLayout& run) {
  const rundir::RunLayout sweep{run.root.parent_path()};
  if (!fs::exists(sweep.job_script()) || !fs::exists(SweepFile(sweep))) return std::nullopt;
  const auto number = NumberOf(core::ReadWholeFile(SweepFile(sweep)), run.root.filename());
  return number ? std::optional(SweepTask{sweep, *number}) : std::nullopt;
}

std::optional<QueuedJob> ActiveJob(const rundir::RunLayout& run,
                                   const std::vector<QueuedJob>& jobs) {
  auto job = JobOf(jobs, run.job_script());
  if (!job) {
    if (const auto task = SweepTaskOf(run))
      job = JobOf(jobs, task->sweep.job_script(), task->number);
  }
  return job && IsOver(*job, rundir::ReadOutcome(run)) ? std::nullopt : job;
}

void CheckMayStart(const JobSpec& job, const rundir::RunLayout& run) {
  const auto holder = rundir::ReadLease(run);
  if (holder && rundir::IsAlive(*holder, core::WallMicroseconds())) {
    throw core::ConfigError(run.root.string() + " is in use by " + holder->text() +
                            "; stop it (moat stop " + job.config.train.run +
                            ") or choose another --run");
  }
  // What was queued and never started may still become another run.
  const auto outcome = rundir::ReadOutcome(run);
  if (outcome && outcome->attempts > 0) {
    for (const std::string& note : CheckSameRun(run, job.flags)) core::Log() << note;
  }
  CheckStart(run.checkpoints(), job.config.train);
}

void KeepFlags(const JobSpec& submitted, const rundir::RunLayout& run) {
  core::WriteFileAtomically(run.flags(), submitted.flags.ResolvedFlags("train"));
  core::WriteFileAtomically(run.job_flags(), SlurmFlags(submitted));
}

std::string SubmitQueued(const fs::path& script, const std::vector<rundir::RunLayout>& runs) {
  std::vector<std::optional<rundir::Outcome>> before;
  std::string job;
  try {
    for (const rundir::RunLayout& run : runs) {
      before.push_back(rundir::ConcludeOutcome(run));
      SayQueued(run, before.back());
    }
    job = Submit(script);
  } catch (...) {
    for (size_t i = 0; i < before.size(); ++i) {
      if (before[i]) rundir::WriteOutcome(runs[i], *before[i]);
      if (!before[i]) fs::remove(runs[i].outcome());
    }
    throw;
  }
  for (const rundir::RunLayout& run : runs) {  // of an earlier submission
    std::error_code ignored;
    fs::remove(run.job_exclude(), ignored);
    fs::remove(run.job_legs(), ignored);
  }
  return job;
}

void WaitUntil(const std::function<bool(const std::vector<QueuedJob>&)>& over) {
  const double begin = core::MonotonicSeconds();
  double answered = begin;
  while (true) {
    std::optional<std::vector<QueuedJob>> jobs;
    try {
      jobs = QueuedJobs();
    } catch (const core::ConfigError& error) {  // its controller may be started again
      core::Log(core::Log::kWarning) << error.what();
    }
    const double now = core::MonotonicSeconds();
    if (jobs) answered = now;
    if (jobs && over(*jobs)) return;
    if (now - answered > kSilenceSeconds) {
      throw core::ConfigError("Slurm has not answered for ten minutes; the job goes on by itself");
    }
    std::this_thread::sleep_for(
        std::chrono::duration<double>(std::min(15.0, 0.5 + (now - begin) / 20)));
  }
}

int EndOf(const rundir::RunLayout& run) {
  const auto outcome = rundir::ConcludeOutcome(run);
  const RunState state = outcome ? outcome->state : RunState::kLost;
  const std::string name = run.root.filename();
  if (state == RunState::kQueued) {
    core::Log(core::Log::kWarning) << "run " << name << ": its job left the queue without starting";
    return static_cast<int>(core::ExitCode::kStopped);
  }
  if (state == RunState::kLost || state == RunState::kRunning) {
    core::Log(core::Log::kWarning) << "run " << name << ": its job ended without saying how";
    return static_cast<int>(core::ExitCode::kPeer);
  }
  return outcome->exit_code;
}

}  // namespace moat::launch
