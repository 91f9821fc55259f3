// The supervisor of one attempt.
#include "launch/supervisor.h"

#include <iostream>
#include <memory>
#include <optional>

#include "core/durable_file.h"
#include "core/error.h"
#include "core/host.h"
#include "core/logging.h"
#include "launch/attempt_watch.h"
#include "launch/child.h"
#include "launch/event_hook.h"
#include "launch/fewer_nodes.h"
#include "launch/identity.h"
#include "launch/machine.h"
#include "launch/node_watch.h"
#include "launch/placement.h"
#include "launch/render.h"
#include "launch/restart.h"
#include "launch/signal_source.h"
#include "launch/source_version.h"
#include "launch/verdict.h"
#include "rundir/attempt.h"
#include "rundir/board.h"
#include "rundir/capsule.h"
#include "rundir/lease.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;

std::string CommandText(const JobSpec& job) {
  std::string text;
  for (const std::string& word : job.command) text += ShellQuoted(word) + " ";
  return text + "\n";
}

// Refuses now what the first checkpoint would fail at after hours.
void CheckCheckpointsWritable(const rundir::RunLayout& layout) {
  const fs::path trial = layout.checkpoints() / ".trial";
  core::MakeDirectories(layout.checkpoints());
  core::WriteFileAtomically(trial, "");
  fs::remove(trial);
}

// Everything that is on disk before the ranks start.
void Prepare(const JobSpec& job, const rundir::RunLayout& layout, const LaunchPlan& plan) {
  const int attempt = job.attempt;
  CheckCheckpointsWritable(layout);
  core::MakeDirectories(layout.logs(attempt));
  core::MakeDirectories(layout.launch());
  core::WriteFileAtomically(layout.flags(), job.flags.ResolvedFlags("train"));
  core::WriteFileAtomically(layout.launch() / "command.txt",
                            "# attempt " + std::to_string(attempt) + ", as it was asked for:\n" +
                                CommandText(job) + "# as it was started:\n" + ToText(plan));
  rundir::CapsuleEntry capsule = rundir::DescribeBuild();
  capsule.attempt = attempt;
  capsule.git = SourceVersion(job.program.parent_path());
  rundir::AppendCapsule(layout, capsule);
}

// Where the rank that failed was, when it no longer could say so itself.
void AddBoard(const rundir::RunLayout& layout, int attempt, Verdict& verdict) {
  if (!verdict.first_failure || verdict.first_failure->rank < 0) return;
  if (verdict.error_class == kHangClass) return;  // it says so itself
  const auto board = rundir::ReadBoard(layout.board(attempt, verdict.first_failure->rank));
  if (board) verdict.first_failure->what += " (" + board->text() + ")";
}

// `over`: no further attempt follows. Behind all that mpirun and the ranks printed.
void Tell(const rundir::Outcome& outcome, const std::string& run, bool over, bool json) {
  std::string text = "run " + run + ": " + rundir::Name(outcome.state) + " at step " +
                     std::to_string(outcome.step) + ", exit code " +
                     std::to_string(outcome.exit_code);
  if (const auto& failure = outcome.first_failure) {
    text += "; " +
            (failure->rank >= 0
                 ? "rank " + std::to_string(failure->rank) + " on " + failure->host + ": "
                 : std::string()) +
            failure->what;
  }
  if (outcome.resumable) text += "; launch it again to go on";
  const bool failed = outcome.state == rundir::RunState::kFailed;
  core::Log(!failed ? core::Log::kInfo : over ? core::Log::kError : core::Log::kWarning) << text;
  if (json && over) std::cout << rundir::ToJson(outcome) << std::flush;
}

// Where nothing can be started (no mpirun), the attempt is recorded as failed.
std::unique_ptr<Child> Start(const JobSpec& job, const rundir::RunLayout& layout,
                             const LaunchPlan& plan) {
  try {
    return std::make_unique<Child>(plan.argv, plan.env, plan.blocked);
  } catch (const core::Error& error) {
    rundir::WriteOutcome(
        layout,
        {rundir::RunState::kFailed, core::ExitCodeName(error.code()),
         static_cast<int>(error.code()), rundir::FirstFailure{-1, core::HostName(), error.what()},
         LastStep(layout), KeptStep(job.config.train, layout) >= 0, job.attempt + 1});
    throw;
  }
}

// Null where all ranks are here, and where nobody can listen: then other nodes are not watched.
std::unique_ptr<NodeWatch> WatchNodes(const JobSpec& job, const LaunchPlan& plan) {
  if (!LeavesThisNode(job.config)) return nullptr;
  try {
    return std::make_unique<NodeWatch>(plan.ranks, Place(job.config).ranks_per_node);
  } catch (const core::Error& error) {
    core::Log(core::Log::kWarning) << "other nodes are not watched: " << error.what();
    return nullptr;
  }
}

// What the boards say of the ranks when all have ended.
void ReadBoards(const rundir::RunLayout& layout, int attempt, int ranks, Ending& ending) {
  for (int rank = 0; rank < ranks; ++rank) {
    const auto board = rundir::ReadBoard(layout.board(attempt, rank));
    ending.requests.push_back(board ? std::optional(board->requests) : std::nullopt);
    ending.hosts.push_back(board && !board->host.empty() ? board->host : core::HostName());
  }
}

// Starts the ranks and watches them to their end.
Ending RunRanks(const JobSpec& job, const rundir::RunLayout& layout, LaunchPlan plan,
                rundir::Lease& lease, const SignalSource& signals) {
  BecomeSubreaper();
  const std::unique_ptr<NodeWatch> nodes = WatchNodes(job, plan);
  if (nodes) plan.env[rundir::kNodeWatchVariable] = ToText(nodes->invitation());
  const int64_t out_of_memory_kills = OutOfMemoryKills();
  Ending ending;
  {
    AttemptWatch watch(job, layout, plan.ranks, lease, signals, nodes.get());
    const std::unique_ptr<Child> child = Start(job, layout, plan);
    ending = watch.Until(*child);
  }
  KillAdoptedChildren();
  ending.failures = rundir::ReadFailures(layout, job.attempt);
  ending.result = rundir::ReadResult(layout, job.attempt);
  ending.last_step = LastStep(layout);
  ReadBoards(layout, job.attempt, plan.ranks, ending);
  ending.out_of_memory_kills = OutOfMemoryKills() - out_of_memory_kills;
  return ending;
}

rundir::Outcome Concluded(const rundir::RunLayout& layout, const JobSpec& job,
                          const Ending& ending) {
  Verdict verdict = Judge(ending);
  AddBoard(layout, job.attempt, verdict);
  const bool resumable =
      verdict.state != rundir::RunState::kDone && KeptStep(job.config.train, layout) >= 0;
  return {verdict.state, verdict.error_class, verdict.exit_code, verdict.first_failure,
          verdict.step,  resumable,           job.attempt + 1};
}

// Starts one attempt and records how it ended.
rundir::Outcome RunAttempt(JobSpec& job, const rundir::RunLayout& layout, rundir::Lease& lease,
                           const SignalSource& signals, bool* asked_to_stop) {
  const LaunchPlan plan = Render(job);
  for (const std::string& note : plan.notes) core::Log() << note;
  Prepare(job, layout, plan);
  rundir::OutcomeRoom room(layout);
  const rundir::Outcome running = {rundir::RunState::kRunning,
                                   "ok",
                                   0,
                                   std::nullopt,
                                   LastStep(layout),
                                   KeptStep(job.config.train, layout) >= 0,
                                   job.attempt + 1};
  rundir::WriteOutcome(layout, running);
  TellHook(job.config, layout, running);
  const Ending ending = RunRanks(job, layout, plan, lease, signals);
  *asked_to_stop = ending.first_signal != 0;
  rundir::Outcome outcome = Concluded(layout, job, ending);
  room.Write(outcome);
  const bool node_lost = outcome.exit_code == static_cast<int>(core::ExitCode::kPeer) &&
                         ending.unheard && outcome.first_failure->host == ending.unheard->host;
  if (outcome.exit_code == static_cast<int>(core::ExitCode::kPeer)) {
    LeaveOutLost(node_lost ? &*ending.unheard : nullptr, layout, job);
  }
  return outcome;
}

// The same end for the third time.
rundir::Outcome GivenUp(rundir::Outcome outcome) {
  const auto code = core::ExitCode::kDoNotRequeue;
  rundir::FirstFailure failure = outcome.first_failure.value_or(rundir::FirstFailure{});
  failure.what = std::to_string(kAttemptsWithoutProgress) +
                 " attempts in a row ended without a new checkpoint; the last one: " + failure.what;
  outcome.error_class = core::ExitCodeName(code);
  outcome.exit_code = static_cast<int>(code);
  outcome.state = rundir::StateOf(outcome.exit_code);
  outcome.first_failure = failure;
  return outcome;
}

}  // namespace

int Run(const JobSpec& asked) {
  const SignalSource signals;  // from here on a request to stop waits until the ranks run
  JobSpec job = asked;
  const rundir::RunLayout layout =
      rundir::LayoutOf(job.config.train.run_root, job.config.train.run);
  Render(job);  // for its refusals, before anything is made
  CheckData(job.config.train.data);
  core::MakeDirectories(layout.root);
  rundir::Lease lease(layout);
  if (!lease.note().empty()) core::Log(core::Log::kWarning) << lease.note();
  for (const std::string& note : CheckSameRun(layout, job.flags)) core::Log() << note;
  CheckStart(layout.checkpoints(), job.config.train);

  RestartPolicy policy(job.config.restarts);
  job.attempt = rundir::ReadOutcome(layout).value_or(rundir::Outcome{}).attempts;
  while (true) {
    const int64_t before = KeptStep(job.config.train, layout);
    bool asked_to_stop = false;
    rundir::Outcome outcome = RunAttempt(job, layout, lease, signals, &asked_to_stop);
    const AfterAttempt next =
        policy.After(outcome.exit_code, before, KeptStep(job.config.train, layout), asked_to_stop);
    if (next == AfterAttempt::kGiveUp) {
      outcome = GivenUp(outcome);
      rundir::WriteOutcome(layout, outcome);
    }
    Tell(outcome, job.config.train.run, next != AfterAttempt::kStartAgain, job.config.json);
    TellHook(job.config, layout, outcome,
             next == AfterAttempt::kStartAgain ? kRestarting : rundir::Name(outcome.state));
    if (next != AfterAttempt::kStartAgain) return outcome.exit_code;
    job.again = true;
    job.attempt = outcome.attempts;
    core::Log() << "starting again: attempt " << job.attempt + 1;
  }
}

}  // namespace moat::launch
