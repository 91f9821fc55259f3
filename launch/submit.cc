// Submitting a run to Slurm.
#include "launch/submit.h"

#include <sys/file.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "core/durable_file.h"
#include "core/error.h"
#include "core/logging.h"
#include "launch/event_hook.h"
#include "launch/identity.h"
#include "launch/slurm_script.h"
#include "launch/submission.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;
using rundir::RunState;

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
  lock.Require();
  if (const auto active = ActiveJob(layout, QueuedJobs())) return Tell(job, layout, *active, false);
  CheckMayStart(job, layout);
  CopyPrograms(job, submitted);
  KeepFlags(submitted, layout);
  core::WriteFileAtomically(layout.job_script(), SlurmScript(submitted), 0755);
  const QueuedJob fresh{SubmitQueued(layout.job_script(), {layout}), "PENDING", "None",
                        layout.job_script()};
  if (const auto queued = rundir::ReadOutcome(layout))
    TellHook(job.config, layout, *queued, "queued");
  Tell(job, layout, JobOf(QueuedJobs(), layout.job_script()).value_or(fresh), true);
}

}  // namespace

int SubmitRun(const JobSpec& job) {
  const rundir::RunLayout layout = LayoutOfJob(job);
  const JobSpec submitted = AsSubmitted(job, layout);
  SlurmScript(submitted);  // for its refusals, before anything is made
  CheckData(job.config.train.data);
  const configs::SlurmConfig& slurm = job.config.slurm;
  CheckFits(Partitions(), slurm.partition, job.config.nodes, slurm.time);
  SubmitOnce(job, submitted, layout);
  if (!job.config.wait) return 0;
  WaitUntil([&](const std::vector<QueuedJob>& jobs) { return !ActiveJob(layout, jobs); });
  return EndOf(layout);
}

void AddJobs(const std::string& run_root, std::vector<RunSummary>* runs) {
  std::optional<std::vector<QueuedJob>> jobs;
  for (RunSummary& run : *runs) {
    const rundir::RunLayout layout{fs::weakly_canonical(rundir::LayoutOf(run_root, run.name).root)};
    const auto task = SweepTaskOf(layout);
    const bool submitted = task || fs::exists(layout.job_script());
    if (!submitted || run.outcome.state == RunState::kDone) continue;
    try {
      if (!jobs) jobs = QueuedJobs();
    } catch (const core::ConfigError& error) {
      core::Log(core::Log::kWarning) << error.what();
      return;
    }
    if (const auto job = ActiveJob(layout, *jobs)) run.job = *job;
    if (run.job || run.outcome.state != RunState::kQueued) continue;
    if (SubmitLock(task ? task->sweep : layout, LOCK_NB).held())
      run.outcome.state = RunState::kLost;
  }
}

}  // namespace moat::launch
