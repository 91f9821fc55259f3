// Running in a job of Slurm.
#include "launch/allocation.h"

#include <signal.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/clock.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/host.h"
#include "core/logging.h"
#include "launch/captured.h"
#include "launch/event_hook.h"
#include "launch/fewer_nodes.h"
#include "launch/identity.h"
#include "launch/placement.h"
#include "launch/preflight.h"
#include "launch/restart.h"
#include "launch/slurm_queue.h"
#include "launch/slurm_script.h"
#include "launch/starter.h"
#include "launch/supervisor.h"

namespace moat::launch {
namespace {

using core::ExitCode;

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Until the supervisor listens and after it has: a signal must not end this process in between.
void BlockSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP}) sigaddset(&set, number);
  sigprocmask(SIG_BLOCK, &set, nullptr);
}

// mpirun's daemons on other nodes, like mpirun itself (LaunchPlan::blocked), must not kill their
// ranks on the TERM that ends a job. An env that knows no --block-signal (coreutils before 8.31)
// leaves ranks there a second to save in.
void ShieldDaemons(MpiInstall& mpi) {
  const std::vector<std::string> shield = {"env", "--block-signal=TERM"};
  if (RunCaptured({shield[0], shield[1], "true"}, {}, 10).code != 0) return;
  const std::string orted = (std::filesystem::path(mpi.mpirun).parent_path() / "orted").string();
  mpi.env["OMPI_MCA_orte_launch_agent"] = shield[0] + " " + shield[1] + " " + orted;
}

// The ranks look at it to save before the job ends. Slurm says so itself from 23.02 on.
void TellEndTime(const Allocation& allocation, std::map<std::string, std::string>& env) {
  constexpr char kName[] = "SLURM_JOB_END_TIME";
  if (!Variable(kName).empty()) return;
  const std::optional<double> left = SecondsLeft(allocation.job);
  if (left) env[kName] = std::to_string(core::WallMicroseconds() / 1000000 + std::llround(*left));
}

// Records that the run has ended with `code`; the rest of `outcome` stays.
int End(const JobSpec& job, const rundir::RunLayout& layout, rundir::Outcome outcome,
        ExitCode code) {
  outcome.exit_code = static_cast<int>(code);
  outcome.error_class = core::ExitCodeName(code);
  outcome.state = rundir::StateOf(outcome.exit_code);
  rundir::WriteOutcome(layout, outcome);
  TellHook(job.config, layout, outcome);
  return outcome.exit_code;
}

// Replaces how the run ended, as the scheduler sees it.
int Conclude(const JobSpec& job, const rundir::RunLayout& layout, ExitCode code,
             const std::string& why) {
  rundir::Outcome outcome = rundir::ReadOutcome(layout).value_or(rundir::Outcome{});
  if (code != ExitCode::kStopped) {
    rundir::FirstFailure failure = outcome.first_failure.value_or(rundir::FirstFailure{});
    failure.what = why + (failure.what.empty() ? "" : "; the last one: " + failure.what);
    outcome.first_failure = failure;
  }
  End(job, layout, outcome, code);
  core::Log() << why << ": exit code " << static_cast<int>(code);
  return static_cast<int>(code);
}

// Adds a node to those that the next leg is not to have.
void Exclude(const rundir::RunLayout& layout, const std::string& node) {
  std::string excluded;
  if (std::filesystem::exists(layout.job_exclude())) {
    excluded = core::ReadWholeFile(layout.job_exclude());
  }
  if (("," + excluded + ",").find("," + node + ",") != std::string::npos) return;
  core::WriteFileAtomically(layout.job_exclude(), excluded + (excluded.empty() ? "" : ",") + node);
  core::Log() << "the next leg keeps away from node " << node;
}

// The node that the run ended at; false where nobody knows which it was.
bool ExcludeFailed(const rundir::RunLayout& layout, const Allocation& allocation,
                   int ranks_per_node) {
  const auto outcome = rundir::ReadOutcome(layout);
  if (!outcome || !outcome->first_failure) return false;
  const auto node = NodeOf(*outcome->first_failure, allocation.nodes, ranks_per_node);
  if (node) Exclude(layout, *node);
  return node.has_value();
}

// The exit code of a leg whose nodes are not all fit to train on.
int RefuseNodes(const JobSpec& job, const rundir::RunLayout& layout, const Allocation& allocation,
                const std::vector<UnfitNode>& unfit) {
  for (const UnfitNode& node : unfit) {
    Exclude(layout, allocation.nodes.at(static_cast<size_t>(node.node)));
  }
  rundir::Outcome outcome = rundir::ReadOutcome(layout).value_or(rundir::Outcome{});
  outcome.first_failure =
      rundir::FirstFailure{unfit[0].rank, unfit[0].host, "preflight: " + unfit[0].what};
  return End(job, layout, outcome, ExitCode::kNode);
}

int Train(const JobSpec& job, const rundir::RunLayout& layout, const Allocation& allocation) {
  if (job.config.preflight) {
    const std::vector<UnfitNode> unfit = Preflight(job);
    if (!unfit.empty()) return RefuseNodes(job, layout, allocation, unfit);
  }
  return Run(job);
}

// What the script acts on.
int Judged(const JobSpec& job, const rundir::RunLayout& layout, const Allocation& allocation,
           int ranks_per_node, int code) {
  const bool preempted = code == static_cast<int>(ExitCode::kPreempted);
  const bool bad_node = code == static_cast<int>(ExitCode::kNode);
  if (!preempted && !bad_node) return code;
  if (HowJobEnds(allocation.job, allocation.restarts) == JobEnd::kCancelled) {
    return Conclude(job, layout, ExitCode::kStopped, "the job was cancelled");
  }
  if (LegsWithoutProgress(layout) >= kAttemptsWithoutProgress) {
    return Conclude(
        job, layout, ExitCode::kDoNotRequeue,
        std::to_string(kAttemptsWithoutProgress) + " legs in a row ended without a new checkpoint");
  }
  const int legs = LegsOf(layout);
  if (job.config.legs > 0 && legs >= job.config.legs) {
    return Conclude(job, layout, ExitCode::kDoNotRequeue,
                    "all " + std::to_string(legs) +
                        " of --legs=" + std::to_string(job.config.legs) +
                        " are over; what is saved can be gone on from");
  }
  if (bad_node && !ExcludeFailed(layout, allocation, ranks_per_node)) {
    return Conclude(job, layout, ExitCode::kDoNotRequeue,
                    "a node is unhealthy, and which is not known");
  }
  return code;
}

// A leg that could not have all nodes has fewer: --min_nodes.
void FitToAllocation(const Allocation& allocation, JobSpec& job) {
  const int nodes = static_cast<int>(allocation.nodes.size());
  if (nodes == job.config.nodes || (nodes < job.config.nodes && Shrink(nodes, job))) return;
  throw core::ConfigError("--nodes=" + std::to_string(job.config.nodes) + ", but job " +
                          allocation.job + " has " + std::to_string(nodes));
}

int RunLeg(const JobSpec& asked, const rundir::RunLayout& layout) {
  const Allocation allocation = AllocationFromEnvironment();
  JobSpec job = asked;
  FitToAllocation(allocation, job);
  const Placement place = Place(job.config);
  job.cores = allocation.cores;
  ShieldDaemons(job.mpi);
  TellEndTime(allocation, job.config.env);
  job.config.starter = ChooseStarter(job, layout);
  if (allocation.restarts > 0 || std::filesystem::exists(layout.job_legs())) {
    job.config.train.resume = "auto";  // what was asked for was for the first leg
    job.again = true;
  }
  Leg leg{allocation.job, allocation.restarts, 0, KeptStep(job.config.train, layout), -1};
  leg.exit_code = Train(job, layout, allocation);
  leg.after = KeptStep(job.config.train, layout);
  AppendLeg(layout, leg);
  return Judged(job, layout, allocation, place.ranks_per_node, leg.exit_code);
}

// A leg that could not start: nobody else says so, and the run would look queued for ever.
void RecordRefusal(const JobSpec& job, const rundir::RunLayout& layout, const core::Error& error) {
  rundir::Outcome outcome = rundir::ReadOutcome(layout).value_or(rundir::Outcome{});
  if (outcome.state != rundir::RunState::kQueued && outcome.state != rundir::RunState::kPreempted) {
    return;
  }
  outcome.exit_code = static_cast<int>(error.code());
  outcome.error_class = core::ExitCodeName(error.code());
  outcome.state = rundir::RunState::kFailed;
  outcome.first_failure = rundir::FirstFailure{-1, core::HostName(), error.what()};
  rundir::WriteOutcome(layout, outcome);
  TellHook(job.config, layout, outcome);
}

}  // namespace

Allocation AllocationFromEnvironment() {
  Allocation allocation;
  allocation.job = Variable("SLURM_JOB_ID");
  if (allocation.job.empty()) {
    throw core::ConfigError(
        "--on=allocation runs in a job of Slurm, and this is none (SLURM_JOB_ID is not set); "
        "--on=slurm submits one");
  }
  // The number of one of an array's tasks is that of the array, too, and would mean all of it.
  if (const std::string task = Variable("SLURM_ARRAY_TASK_ID"); !task.empty()) {
    allocation.job = Variable("SLURM_ARRAY_JOB_ID") + "_" + task;
  }
  allocation.restarts = std::atoi(Variable("SLURM_RESTART_COUNT").c_str());
  allocation.nodes = NodeNames(Variable("SLURM_JOB_NODELIST"));
  const int cores = std::atoi(Variable("SLURM_CPUS_ON_NODE").c_str());
  allocation.cores = cores > 0 ? cores : core::Cores();
  return allocation;
}

int RunInAllocation(const JobSpec& asked) {
  BlockSignals();
  const rundir::RunLayout layout = LayoutOfJob(asked);
  core::MakeDirectories(layout.launch());
  try {
    return RunLeg(asked, layout);
  } catch (const core::Error& error) {
    RecordRefusal(asked, layout, error);
    throw;
  }
}

void AppendLeg(const rundir::RunLayout& layout, const Leg& leg) {
  const nlohmann::ordered_json json = {{"job", leg.job},
                                       {"restarts", leg.restarts},
                                       {"exit_code", leg.exit_code},
                                       {"step_before", leg.before},
                                       {"step_after", leg.after}};
  std::ofstream(layout.job_legs(), std::ios::app) << json.dump() + "\n";
}

int LegsOf(const rundir::RunLayout& layout) {
  int count = 0;
  std::ifstream lines(layout.job_legs());
  for (std::string line; std::getline(lines, line);) count += nlohmann::json::accept(line) ? 1 : 0;
  return count;
}

int LegsWithoutProgress(const rundir::RunLayout& layout) {
  int count = 0;
  std::ifstream lines(layout.job_legs());
  for (std::string line; std::getline(lines, line);) {
    const auto leg = nlohmann::json::parse(line, nullptr, false);
    if (leg.is_discarded()) continue;
    count = leg.value("step_after", -1) > leg.value("step_before", -1) ? 0 : count + 1;
  }
  return count;
}

std::optional<std::string> NodeOf(const rundir::FirstFailure& failure,
                                  const std::vector<std::string>& nodes, int ranks_per_node) {
  const auto by_host = std::find(nodes.begin(), nodes.end(), failure.host);
  if (by_host != nodes.end()) return *by_host;
  const auto by_rank = static_cast<size_t>(std::max(failure.rank, 0) / ranks_per_node);
  return failure.rank >= 0 && by_rank < nodes.size() ? std::optional(nodes[by_rank]) : std::nullopt;
}

}  // namespace moat::launch
