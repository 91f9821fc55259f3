// Submitting a run to Slurm, and waiting for its end.
#include "launch/submit.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/clock.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/logging.h"
#include "launch/event_hook.h"
#include "launch/identity.h"
#include "launch/slurm_queue.h"
#include "launch/slurm_script.h"
#include "rundir/lease.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;
using rundir::RunState;

constexpr double kSilenceSeconds = 600;  // of Slurm, while a run is waited for

// One submission of a run at a time. The kernel lets go when the process ends.
class SubmitLock {
 public:
  // `how`: 0 waits for whoever submits now, which takes seconds; LOCK_NB does not.
  SubmitLock(const rundir::RunLayout& layout, int how)
      : fd_(open((layout.launch() / ".submit.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    held_ = fd_ >= 0 && flock(fd_, LOCK_EX | how) == 0;
  }
  ~SubmitLock() {
    if (fd_ >= 0) close(fd_);
  }
  SubmitLock(const SubmitLock&) = delete;
  bool held() const { return held_; }

 private:
  int fd_ = -1;
  bool held_ = false;
};

// A job that is just ending counts only where it may come back.
bool IsOver(const QueuedJob& job, const std::optional<rundir::Outcome>& outcome) {
  if (job.state != "COMPLETING") return false;
  const RunState state = outcome ? outcome->state : RunState::kQueued;
  return state == RunState::kDone || state == RunState::kStopped || state == RunState::kFailed;
}

std::optional<QueuedJob> ActiveJob(const rundir::RunLayout& layout,
                                   const std::vector<QueuedJob>& jobs) {
  const auto job = JobOf(jobs, layout.job_script());
  return job && IsOver(*job, rundir::ReadOutcome(layout)) ? std::nullopt : job;
}

void CheckMayStart(const JobSpec& job, const rundir::RunLayout& layout,
                   const std::optional<rundir::Outcome>& outcome) {
  const auto holder = rundir::ReadLease(layout);
  if (holder && rundir::IsAlive(*holder, core::WallMicroseconds())) {
    throw core::ConfigError(layout.root.string() + " is in use by " + holder->text() +
                            "; stop it (moat stop " + job.config.train.run +
                            ") or choose another --run");
  }
  // What was queued and never started may still become another run.
  if (outcome && outcome->attempts > 0) {
    for (const std::string& note : CheckSameRun(layout.flags(), job.flags)) core::Log() << note;
  }
  CheckStart(layout.checkpoints(), job.config.train);
}

void CopyPrograms(const fs::path& from, const fs::path& to) {
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

// Everything the job starts with.
void Prepare(const JobSpec& job, const JobSpec& submitted, const rundir::RunLayout& layout) {
  if (submitted.program != job.program) {
    CopyPrograms(job.program.parent_path(), submitted.program.parent_path());
  }
  core::WriteFileAtomically(layout.flags(), job.flags.ResolvedFlags("train"));
  core::WriteFileAtomically(layout.job_flags(), SlurmFlags(submitted));
  core::WriteFileAtomically(layout.job_script(), SlurmScript(submitted), 0755);
}

// The outcome says queued before the job may start and say running.
std::string SubmitQueued(const rundir::RunLayout& layout,
                         const std::optional<rundir::Outcome>& before) {
  rundir::Outcome queued = before.value_or(rundir::Outcome{});
  queued.state = RunState::kQueued;
  queued.error_class = "ok";
  queued.exit_code = 0;
  queued.first_failure.reset();
  rundir::WriteOutcome(layout, queued);
  try {
    return Submit(layout.job_script());
  } catch (...) {
    if (before) rundir::WriteOutcome(layout, *before);
    if (!before) fs::remove(layout.outcome());
    throw;
  }
}

void Tell(const JobSpec& job, const rundir::RunLayout& layout, const QueuedJob& queued,
          bool submitted) {
  const std::string& run = job.config.train.run;
  if (job.config.parsable) {
    std::cout << queued.id << std::endl;
  } else if (job.config.json) {
    std::cout << nlohmann::ordered_json{{"run", run},
                                        {"job", queued.id},
                                        {"state", queued.state},
                                        {"submitted", submitted},
                                        {"script", layout.job_script().string()}}
                     .dump(2)
              << std::endl;
  } else {
    std::cout << "run " << run << (submitted ? " is submitted: " : " is not submitted again: ")
              << Describe(queued) << "; moat status " << run << " says how it goes" << std::endl;
  }
}

void SubmitOnce(const JobSpec& job, const JobSpec& submitted, const rundir::RunLayout& layout) {
  core::MakeDirectories(layout.launch());
  const SubmitLock lock(layout, 0);
  if (!lock.held()) {
    throw core::StorageError("cannot lock " + layout.launch().string() + ": " +
                             std::strerror(errno));
  }
  if (const auto active = ActiveJob(layout, QueuedJobs())) return Tell(job, layout, *active, false);
  const auto outcome = rundir::ConcludeOutcome(layout);
  CheckMayStart(job, layout, outcome);
  Prepare(job, submitted, layout);
  const QueuedJob fresh{SubmitQueued(layout, outcome), "PENDING", "None", layout.job_script()};
  std::error_code ignored;
  fs::remove(layout.job_exclude(), ignored);  // of an earlier submission
  fs::remove(layout.job_legs(), ignored);
  if (const auto queued = rundir::ReadOutcome(layout))
    TellHook(job.config, layout, *queued, "queued");
  Tell(job, layout, JobOf(QueuedJobs(), layout.job_script()).value_or(fresh), true);
}

// Whether the run still has a job; nullopt where Slurm does not answer.
std::optional<bool> HasJob(const rundir::RunLayout& layout) {
  try {
    return ActiveJob(layout, QueuedJobs()).has_value();
  } catch (const core::ConfigError& error) {
    core::Log(core::Log::kWarning) << error.what();
    return std::nullopt;
  }
}

// Asks more and more seldom, so that many who wait do not burden the controller.
void WaitForEnd(const rundir::RunLayout& layout) {
  const double begin = core::MonotonicSeconds();
  double answered = begin;
  while (true) {
    const std::optional<bool> has_job = HasJob(layout);
    const double now = core::MonotonicSeconds();
    if (has_job) answered = now;
    if (has_job && !*has_job) return;
    if (now - answered > kSilenceSeconds) {
      throw core::ConfigError("Slurm has not answered for ten minutes; the job goes on by itself");
    }
    std::this_thread::sleep_for(
        std::chrono::duration<double>(std::min(15.0, 0.5 + (now - begin) / 20)));
  }
}

int CodeOf(const rundir::RunLayout& layout, const std::string& run) {
  const auto outcome = rundir::ConcludeOutcome(layout);
  const RunState state = outcome ? outcome->state : RunState::kLost;
  if (state == RunState::kQueued) {
    core::Log(core::Log::kWarning) << "run " << run << ": its job left the queue without starting";
    return static_cast<int>(core::ExitCode::kStopped);
  }
  if (state == RunState::kLost || state == RunState::kRunning) {
    core::Log(core::Log::kWarning) << "run " << run << ": its job ended without saying how";
    return static_cast<int>(core::ExitCode::kPeer);
  }
  return outcome->exit_code;
}

}  // namespace

JobSpec AsSubmitted(const JobSpec& job) {
  JobSpec submitted = job;
  const bool installed = job.mpi.mpirun != MpiInstall{}.mpirun;
  if (!installed) submitted.program = LayoutOfJob(job).job_programs() / job.program.filename();
  return submitted;
}

int SubmitRun(const JobSpec& job) {
  const JobSpec submitted = AsSubmitted(job);
  const rundir::RunLayout layout = LayoutOfJob(job);
  SlurmScript(submitted);  // for its refusals, before anything is made
  CheckData(job.config.train.data);
  const configs::SlurmConfig& slurm = job.config.slurm;
  CheckFits(Partitions(), slurm.partition, job.config.nodes, slurm.time);
  SubmitOnce(job, submitted, layout);
  if (!job.config.wait) return 0;
  WaitForEnd(layout);
  return CodeOf(layout, job.config.train.run);
}

void AddJobs(const std::string& run_root, std::vector<RunSummary>* runs) {
  std::optional<std::vector<QueuedJob>> jobs;
  for (RunSummary& run : *runs) {
    const rundir::RunLayout layout{fs::weakly_canonical(rundir::LayoutOf(run_root, run.name).root)};
    if (!fs::exists(layout.job_script()) || run.outcome.state == RunState::kDone) continue;
    try {
      if (!jobs) jobs = QueuedJobs();
    } catch (const core::ConfigError& error) {
      core::Log(core::Log::kWarning) << error.what();
      return;
    }
    if (const auto job = ActiveJob(layout, *jobs)) run.job = *job;
    if (!run.job && run.outcome.state == RunState::kQueued && SubmitLock(layout, LOCK_NB).held()) {
      run.outcome.state = RunState::kLost;
    }
  }
}

}  // namespace moat::launch
