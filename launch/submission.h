// What submitting a run and submitting a sweep to Slurm have in common: one submitter at a time,
// what a job starts with, the outcome that says queued, which job is a run's, and waiting for its
// end.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "launch/job_spec.h"
#include "launch/slurm_queue.h"
#include "rundir/layout.h"

namespace moat::launch {

// One submission from a directory (a run's, a sweep's) at a time. The kernel lets go when the
// process ends.
class SubmitLock {
 public:
  // `how`: 0 waits for whoever submits now, which takes seconds; LOCK_NB does not.
  SubmitLock(const rundir::RunLayout& home, int how);
  ~SubmitLock();
  SubmitLock(const SubmitLock&) = delete;
  bool held() const { return held_; }
  void Require() const;  // throws StorageError where it is not held

 private:
  rundir::RunLayout home_;
  int fd_ = -1;
  bool held_ = false;
};

// The job as it is submitted: it keeps to copies of the programs in `home`, so that a new build
// changes nothing that is queued. Programs of an installed tree stay where they are: they need the
// tree around them.
JobSpec AsSubmitted(const JobSpec& job, const rundir::RunLayout& home);
// Makes those copies.
void CopyPrograms(const JobSpec& job, const JobSpec& submitted);

// A run of a sweep that was submitted: where the sweep lies, and the number of the run's task.
struct SweepTask {
  rundir::RunLayout sweep;
  int number = 0;
};
std::optional<SweepTask> SweepTaskOf(const rundir::RunLayout& run);

// The job that trains the run or is going to: its own, or its task of a sweep's array. A job that
// is just ending counts only where it may come back. `run` is absolute.
std::optional<QueuedJob> ActiveJob(const rundir::RunLayout& run,
                                   const std::vector<QueuedJob>& jobs);

// Throws ConfigError when the run is in use, is another one, or cannot start where its flags say.
void CheckMayStart(const JobSpec& job, const rundir::RunLayout& run);

// Writes the flags that the run's job starts with.
void KeepFlags(const JobSpec& submitted, const rundir::RunLayout& run);

// Submits `script`, which starts `runs`. Their outcomes say queued before sbatch is called, since a
// job may start and say running at once; where sbatch refuses they are what they were.
std::string SubmitQueued(const std::filesystem::path& script,
                         const std::vector<rundir::RunLayout>& runs);

// Asks the queue again and again, ever more seldom, until `over`. Throws ConfigError when Slurm has
// not answered for ten minutes.
void WaitUntil(const std::function<bool(const std::vector<QueuedJob>&)>& over);

// The exit code of a run that has no job any more; a warning where it does not say how it ended.
int EndOf(const rundir::RunLayout& run);

}  // namespace moat::launch
