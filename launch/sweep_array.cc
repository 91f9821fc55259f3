// Submitting a sweep to Slurm, and waiting for its end.
#include "launch/sweep_array.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/durable_file.h"
#include "core/error.h"
#include "core/logging.h"
#include "launch/event_hook.h"
#include "launch/identity.h"
#include "launch/slurm_script.h"
#include "launch/submission.h"
#include "launch/sweep.h"
#include "rundir/lease.h"
#include "rundir/outcome.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;

enum class Standing { kMissing, kPending, kRunning, kDone };

class ArrayDriver {
 public:
  ArrayDriver(const configs::CommandLine& line, const JobSpec& here)
      : line_(line),
        here_(here),
        plan_(PlanOf(line)),
        home_{fs::weakly_canonical(here.directory / LayoutOfSweep(line).root)},
        first_(JobOfRun(plan_.runs.front())) {
    CheckIsSweep(home_, plan_, line);
    for (const SweepRun* run : FirstOfCells()) {
      try {
        CheckOneSize(first_, JobOfRun(*run));
      } catch (const core::ConfigError& error) {
        throw core::ConfigError("cell " + std::to_string(run->cell) + " (" + CellText(plan_, *run) +
                                ") " + error.what());
      }
    }
  }

  // What would be submitted now; nothing is in the queue before there is a script.
  std::string Script() const {
    const bool submitted = fs::exists(home_.job_script());
    const auto missing = Missing(Look(submitted ? QueuedJobs() : std::vector<QueuedJob>{}));
    return missing.empty() ? "" : Script(missing);
  }

  void CheckCluster() const {
    Script({0});  // for its refusals, before anything is made
    for (const SweepRun* run : FirstOfCells()) CheckData(JobOfRun(*run).config.train.data);
    const configs::SlurmConfig& slurm = first_.config.slurm;
    CheckFits(Partitions(), slurm.partition, first_.config.nodes, slurm.time);
    const std::optional<int> size = MaxArraySize();
    if (!size || plan_.runs.size() <= static_cast<size_t>(*size)) return;
    throw core::ConfigError(std::to_string(plan_.runs.size()) +
                            " runs: a run's number is its task's, and the last task that this "
                            "cluster's arrays may have is " +
                            std::to_string(*size - 1) +
                            " (MaxArraySize); vary less in one sweep, or have it raised");
  }

  void Submit() {
    core::MakeDirectories(home_.launch());
    const SubmitLock lock(home_, 0);
    lock.Require();
    rundir::Lease lease(home_);  // no driver works on it on this machine
    KeepPlan(home_, plan_, line_);
    const std::vector<QueuedJob> jobs = QueuedJobs();
    standing_ = Look(jobs);
    const std::vector<int> missing = Missing(standing_);
    if (missing.empty()) return Tell(AnyJob(jobs), {});
    std::vector<JobSpec> prepared;
    for (const int number : missing) prepared.push_back(Prepared(number));
    KeepPrograms(AnyJob(jobs));
    core::WriteFileAtomically(home_.job_script(), Script(missing), 0755);
    std::vector<rundir::RunLayout> runs;
    for (size_t i = 0; i < missing.size(); ++i) {
      runs.push_back(LayoutOfRun(missing[i]));
      KeepFlags(AsSubmitted(prepared[i], home_), runs.back());
    }
    lease.Renew();
    const std::string job = SubmitQueued(home_.job_script(), runs);
    for (const int number : missing) standing_[Index(number)] = Standing::kPending;
    Tell(job, missing);
    for (size_t i = 0; i < runs.size(); ++i) {
      const auto queued = rundir::ReadOutcome(runs[i]);
      if (queued) TellHook(prepared[i].config, runs[i], *queued, "queued");
    }
  }

  int Wait() {
    WaitUntil([&](const std::vector<QueuedJob>& jobs) {
      const std::vector<Standing> now = Look(jobs);
      for (const SweepRun& run : plan_.runs) {
        const Standing before = std::exchange(standing_[Index(run.number)], now[Index(run.number)]);
        if (before != now[Index(run.number)]) TellChange(run, now);
      }
      return Count(now, Standing::kPending) + Count(now, Standing::kRunning) == 0;
    });
    const auto end = std::find_if(standing_.begin(), standing_.end(),
                                  [](Standing one) { return one != Standing::kDone; });
    if (end == standing_.end()) return 0;
    return EndOf(LayoutOfRun(static_cast<int>(end - standing_.begin())));
  }

 private:
  static size_t Index(int number) { return static_cast<size_t>(number); }
  static size_t Count(const std::vector<Standing>& all, Standing one) {
    return static_cast<size_t>(std::count(all.begin(), all.end(), one));
  }

  std::vector<const SweepRun*> FirstOfCells() const {
    std::vector<const SweepRun*> runs;
    for (const SweepRun& run : plan_.runs) {
      if (runs.empty() || runs.back()->cell != run.cell) runs.push_back(&run);
    }
    return runs;
  }

  rundir::RunLayout LayoutOfRun(int number) const {
    return {home_.root / plan_.runs[Index(number)].run};
  }

  JobSpec JobOfRun(const SweepRun& run) const {
    JobSpec job = here_;
    job.flags = configs::CommandLine::Parse(
        "launch", FlagsOfRun(line_, plan_, run, LayoutOfSweep(line_).root.string()));
    job.config = configs::LaunchConfigFromFlags(job.flags);
    return job;
  }

  std::string Script(const std::vector<int>& missing) const {
    return SlurmScript(
        AsSubmitted(first_, home_),
        TaskArray{home_.root, missing, plan_.runs.size(), static_cast<int>(line_.Int("parallel"))});
  }

  // A run that is being trained without a job, by hand, is not missing.
  std::vector<Standing> Look(const std::vector<QueuedJob>& jobs) const {
    std::vector<Standing> standing;
    for (const SweepRun& run : plan_.runs) {
      const rundir::RunLayout layout = LayoutOfRun(run.number);
      const auto outcome = rundir::ConcludeOutcome(layout);
      if (outcome && outcome->state == rundir::RunState::kDone) {
        standing.push_back(Standing::kDone);
      } else if (const auto job = ActiveJob(layout, jobs)) {
        standing.push_back(job->state == "PENDING" ? Standing::kPending : Standing::kRunning);
      } else {
        standing.push_back(rundir::IsHeld(layout) ? Standing::kRunning : Standing::kMissing);
      }
    }
    return standing;
  }

  static std::vector<int> Missing(const std::vector<Standing>& standing) {
    std::vector<int> numbers;
    for (size_t i = 0; i < standing.size(); ++i) {
      if (standing[i] == Standing::kMissing) numbers.push_back(static_cast<int>(i));
    }
    return numbers;
  }

  // The number of the newest array that has a run; "": there is none.
  std::string AnyJob(const std::vector<QueuedJob>& jobs) const {
    std::string newest;
    for (const SweepRun& run : plan_.runs) {
      const auto job = ActiveJob(LayoutOfRun(run.number), jobs);
      if (!job) continue;
      const std::string array = job->id.substr(0, job->id.find('_'));
      if (newest.empty() || std::stoll(array) > std::stoll(newest)) newest = array;
    }
    return newest;
  }

  JobSpec Prepared(int number) const {
    const rundir::RunLayout layout = LayoutOfRun(number);
    JobSpec job = JobOfRun(plan_.runs[Index(number)]);
    core::MakeDirectories(layout.launch());
    CheckMayStart(job, layout);
    return job;
  }

  // What is in the queue keeps to the programs it was submitted with, and so do the other runs.
  void KeepPrograms(const std::string& queued) const {
    const JobSpec submitted = AsSubmitted(first_, home_);
    if (queued.empty()) return CopyPrograms(first_, submitted);
    if (submitted.program == first_.program) return;
    core::Log() << "tasks of job " << queued << " are in the queue: the programs of the sweep stay "
                << "those that it was submitted with";
  }

  // `job`: of `submitted`, or where that is empty of what is in the queue.
  void Tell(const std::string& job, const std::vector<int>& submitted) const {
    const std::string name = line_.value("run");
    const size_t running = Count(standing_, Standing::kRunning);
    const size_t pending = Count(standing_, Standing::kPending);
    if (line_.Bool("parsable")) {
      std::cout << job << std::endl;
    } else if (line_.Bool("json")) {
      std::cout << nlohmann::ordered_json{{"sweep", name},
                                          {"job", job.empty() ? nlohmann::ordered_json()
                                                              : nlohmann::ordered_json(job)},
                                          {"submitted", submitted},
                                          {"done", Count(standing_, Standing::kDone)},
                                          {"running", running},
                                          {"pending", pending},
                                          {"script", home_.job_script().string()}}
                       .dump(2)
                << std::endl;
    } else {
      std::cout << "sweep " << name << ": "
                << (submitted.empty() ? "nothing to submit"
                                      : std::to_string(submitted.size()) + " of " +
                                            std::to_string(plan_.runs.size()) +
                                            " runs are submitted as job " + job)
                << "; " << Counts(standing_)
                << "; moat runs --run_root=" << LayoutOfSweep(line_).root.string()
                << " says how they go" << std::endl;
    }
  }

  static std::string Counts(const std::vector<Standing>& standing) {
    return std::to_string(Count(standing, Standing::kDone)) + " of " +
           std::to_string(standing.size()) + " done, " +
           std::to_string(Count(standing, Standing::kRunning)) + " running, " +
           std::to_string(Count(standing, Standing::kPending)) + " pending, " +
           std::to_string(Count(standing, Standing::kMissing)) + " failed";
  }

  void TellChange(const SweepRun& run, const std::vector<Standing>& now) const {
    std::string what;
    switch (now[Index(run.number)]) {
      case Standing::kPending:
        what = "waits for its next leg";
        break;
      case Standing::kRunning:
        what = "is running";
        break;
      case Standing::kDone:
        what = "is done";
        break;
      case Standing::kMissing:
        what = "has ended: see moat why " + run.run +
               " --run_root=" + LayoutOfSweep(line_).root.string();
        break;
    }
    core::Log() << "run " << run.number << " (" << CellText(plan_, run) << " seed " << run.seed
                << ") " << what << "; " << Counts(now);
  }

  const configs::CommandLine& line_;
  const JobSpec& here_;
  const SweepPlan plan_;
  const rundir::RunLayout home_;  // absolute: jobs are known by the path of their script
  const JobSpec first_;           // of the first run; all ask Slurm for the same
  std::vector<Standing> standing_;
};

}  // namespace

std::string SweepScript(const configs::CommandLine& line, const JobSpec& here) {
  return ArrayDriver(line, here).Script();
}

int SubmitSweep(const configs::CommandLine& line, const JobSpec& here) {
  ArrayDriver driver(line, here);
  driver.CheckCluster();
  driver.Submit();
  return line.Bool("wait") ? driver.Wait() : 0;
}

}  // namespace moat::launch
