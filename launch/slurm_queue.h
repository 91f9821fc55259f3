// Talking to Slurm through its own commands: sbatch, squeue, sinfo, scontrol.
//
// A run's jobs are found by the path of their script (rundir::RunLayout::job_script), and where
// that is a sweep's by the number of the task, too: so the queue alone is the truth, and a
// submission of which nobody kept a note is found, too.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace moat::launch {

struct QueuedJob {
  std::string id;      // "12"; "12_3": a task of an array
  std::string state;   // "PENDING", "RUNNING", "COMPLETING", ...
  std::string reason;  // why it is pending; "None"
  std::filesystem::path script;
  std::optional<int> task() const;  // of an array: its number there
};

// This user's jobs that are pending, running or just ending; of arrays each task. Throws
// ConfigError when squeue cannot be started or does not answer.
std::vector<QueuedJob> QueuedJobs();

// Pure: the jobs in squeue's lines "ID|STATE|REASON|SCRIPT".
std::vector<QueuedJob> ParseQueue(const std::string& lines);

// The one of `jobs` with this script and task; the newest where there are two (a new leg waits for
// the end of the old one).
std::optional<QueuedJob> JobOf(const std::vector<QueuedJob>& jobs,
                               const std::filesystem::path& script,
                               std::optional<int> task = std::nullopt);

// "job 12 (running)", "job 12 (pending: Resources)"
std::string Describe(const QueuedJob& job);

struct Partition {
  std::string name;
  bool is_default = false;
  int nodes = 0;
  std::string time_limit;  // as sinfo says it
};
std::vector<Partition> Partitions();  // throws as QueuedJobs
// Pure: the partitions in sinfo's lines "NAME|NODES|LIMIT".
std::vector<Partition> ParsePartitions(const std::string& lines);

// Pure. Throws ConfigError where no partition of `asked` (one or several with commas; "": the
// default) exists, or none is large enough: Slurm would keep such a job pending for ever.
void CheckFits(const std::vector<Partition>& partitions, const std::string& asked, int nodes,
               const std::string& time);

// Submits a script and returns the job's number. Throws ConfigError with what sbatch said.
std::string Submit(const std::filesystem::path& script);

// The numbers of an array's tasks as sbatch takes them: "0-3,7", and "0-3,7%2" where `parallel` of
// them may run at a time (0: any number). REQUIRES: rising, at least one.
std::string ArrayOf(const std::vector<int>& numbers, int parallel);

// Tasks of this cluster's arrays have numbers below this; nullopt: it does not say.
std::optional<int> MaxArraySize();  // throws as QueuedJobs
// Pure: from what `scontrol show config` prints.
std::optional<int> ParseMaxArraySize(const std::string& shown);

// Takes those of the jobs that are still pending out of the queue. Throws as QueuedJobs.
void CancelPending(const std::vector<std::string>& ids);
// INT to the job's script, once; it hands it on (slurm_script.h). Throws where there is no scancel.
void InterruptJob(const std::string& id);

// How a job that was told to end came to it.
enum class JobEnd {
  kRunning,    // it was not told
  kCancelled,  // by scancel
  kTimeLimit,
  kPreempted,  // for another job
  kRequeued    // by scontrol requeue, or to be started again
};
// Of a job that runs or ends now; kRunning where Slurm does not answer. `restarts`: of which it
// knows itself (SLURM_RESTART_COUNT).
JobEnd HowJobEnds(const std::string& id, int restarts);
// Pure: from what `scontrol show job` prints.
JobEnd ParseJobEnd(const std::string& shown, int restarts);

// Seconds until a running job's time limit; nullopt where it has none or Slurm does not answer.
std::optional<double> SecondsLeft(const std::string& id);

// The nodes that a running job has now: Slurm takes those that failed away from one that outlives
// them (--no-kill). Throws as QueuedJobs and NodeNames.
std::vector<std::string> NodesOfJob(const std::string& id);

// "n[1-2]" in single names. Throws ConfigError when scontrol cannot be started or refuses.
std::vector<std::string> NodeNames(const std::string& node_list);

}  // namespace moat::launch
