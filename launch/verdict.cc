// How an attempt ended.
#include "launch/verdict.h"

#include <re2/re2.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace moat::launch {
namespace {

using core::ExitCode;

Verdict Of(ExitCode code, int64_t step) {
  const int number = static_cast<int>(code);
  return {rundir::StateOf(number), number, core::ExitCodeName(code), std::nullopt, step};
}

Verdict Failed(ExitCode code, rundir::FirstFailure failure, int64_t step) {
  Verdict verdict = Of(code, step);
  verdict.first_failure = std::move(failure);
  return verdict;
}

// Ctrl-C and moat stop mean: do not come back. Every other request does.
ExitCode Meaning(int signal) {
  return signal == SIGINT ? ExitCode::kStopped : ExitCode::kPreempted;
}

Verdict JudgeKilledByUs(const Ending& ending) {
  if (ending.second_signal != 0) {
    Verdict verdict = Of(Meaning(ending.first_signal), ending.last_step);
    verdict.exit_code = 128 + ending.second_signal;
    verdict.first_failure = {-1, "", "killed by a second signal, without saving"};
    return verdict;
  }
  const std::string what = "did not end within " + std::to_string(static_cast<int>(ending.grace)) +
                           " s of the request to stop (--grace) and was killed, without saving";
  const ExitCode code = ending.first_signal == SIGINT ? ExitCode::kStopped : ExitCode::kPeer;
  return Failed(code, {-1, "", what}, ending.last_step);
}

Verdict JudgeResult(const Ending& ending) {
  ExitCode code = ending.result->code;
  if (code == ExitCode::kPreempted && ending.first_signal != 0) code = Meaning(ending.first_signal);
  return Of(code, ending.result->step);
}

bool IsDocumented(int code) {
  return std::string(core::ExitCodeName(static_cast<ExitCode>(code))) != "unknown";
}

bool IsCrash(int signal) {
  return signal == SIGSEGV || signal == SIGABRT || signal == SIGBUS || signal == SIGFPE ||
         signal == SIGILL || signal == SIGTRAP;
}

// The one rank that was asked to end less often than every other: mpirun asks all that are left
// when one has died. -1 where there is no such rank.
int RankAskedLeast(const std::vector<std::optional<uint32_t>>& requests) {
  int least = -1;
  for (size_t rank = 0; rank < requests.size(); ++rank) {
    if (!requests[rank]) return -1;
    if (least < 0 || *requests[rank] < *requests[static_cast<size_t>(least)]) {
      least = static_cast<int>(rank);
    }
  }
  const auto as_little =
      std::count(requests.begin(), requests.end(),
                 least < 0 ? std::nullopt : requests[static_cast<size_t>(least)]);
  return as_little == 1 ? least : -1;
}

// mpirun names the rank that a signal ended, but not always: Open MPI 4.1.4 left it out in 4 of 25
// runs.
rundir::FirstFailure KilledRank(const Ending& ending, int signal) {
  rundir::FirstFailure failure;
  if (!RE2::PartialMatch(ending.output_tail,
                         R"(process rank (\d+) with PID \d+ on node (\S+) exited)", &failure.rank,
                         &failure.host)) {
    failure.rank = RankAskedLeast(ending.requests);
  }
  const auto rank = static_cast<size_t>(failure.rank);  // -1 is beyond all of them
  if (rank < ending.hosts.size() && !ending.hosts[rank].empty()) failure.host = ending.hosts[rank];
  failure.what = "was ended by signal " + std::to_string(signal) + " (" + strsignal(signal) + ")";
  return failure;
}

// The request to stop came before all ranks could listen for it, and ended mpirun or a rank
// instead.
bool StoppedInStartUp(const Ending& ending) {
  if (ending.first_signal == 0) return false;
  if (ending.in_start_up) return true;
  if (WIFSIGNALED(ending.wait_status)) return WTERMSIG(ending.wait_status) == SIGUSR1;
  return WEXITSTATUS(ending.wait_status) == 128 + SIGUSR1;
}

std::string WhyMpirunDidNotStart(const std::string& output) {
  constexpr std::pair<const char*, const char*> kSayings[] = {
      {"not enough slots", "not enough slots"},
      {"or execute an executable", "moat-train cannot be executed"},
      {"could not find an executable", "moat-train was not found"}};
  for (const auto& [saying, meaning] : kSayings) {
    if (output.find(saying) != std::string::npos) return meaning;
  }
  return "";
}

// mpirun could not start its daemons on the hosts, or lost one.
bool MissesAHost(const std::string& output) {
  for (const char* saying :
       {"unable to reliably start one or more daemons", "lost communication with a remote daemon",
        "An ORTE daemon has unexpectedly failed", "daemon died unexpectedly"}) {
    if (output.find(saying) != std::string::npos) return true;
  }
  return false;
}

// The one it lost, where it says so.
rundir::FirstFailure MissedHost(const std::string& output) {
  std::string host;
  const bool named = RE2::PartialMatch(output, R"(Remote daemon: \S+ on node (\S+))", &host);
  return {-1, host,
          "mpirun has no connection to " + (named ? "node " + host : "one of the hosts") +
              ": see what it says in the log"};
}

// What core::RunMain printed, where a rank could not write its failure file.
std::string FirstErrorLine(const std::string& output) {
  constexpr std::string_view kMark = "moat: error: ";
  const size_t at = output.find(kMark);
  if (at == std::string::npos) return "";
  const size_t begin = at + kMark.size();
  return output.substr(begin, output.find('\n', begin) - begin);
}

Verdict JudgeMpirun(const Ending& ending) {
  const int64_t step = ending.last_step;
  if (WIFSIGNALED(ending.wait_status)) {
    return Failed(
        ExitCode::kPeer,
        {-1, "",
         std::string("mpirun was ended by signal ") + std::to_string(WTERMSIG(ending.wait_status))},
        step);
  }
  const int code = WEXITSTATUS(ending.wait_status);
  if (code == 0) {
    return Failed(ExitCode::kBug, {-1, "", "the ranks ended without saying how"}, step);
  }
  // Its codes for these differ from version to version, and look like signals.
  if (const std::string refusal = WhyMpirunDidNotStart(ending.output_tail); !refusal.empty()) {
    return Failed(ExitCode::kConfig, {-1, "", "mpirun did not start: " + refusal}, step);
  }
  if (MissesAHost(ending.output_tail)) {
    return Failed(ExitCode::kPeer,
                  ending.unheard ? FailureOf(*ending.unheard) : MissedHost(ending.output_tail),
                  step);
  }
  if (code > 128 && code < 128 + 65) {
    const int signal = code - 128;
    if (signal == SIGKILL && ending.out_of_memory_kills > 0) {
      rundir::FirstFailure killed = KilledRank(ending, signal);
      killed.what += ": the kernel ended " + std::to_string(ending.out_of_memory_kills) +
                     " processes meanwhile because memory was short";
      return Failed(ExitCode::kOutOfMemory, killed, step);
    }
    return Failed(IsCrash(signal) ? ExitCode::kBug : ExitCode::kPeer, KilledRank(ending, signal),
                  step);
  }
  if (code == static_cast<int>(ExitCode::kPreempted) && ending.first_signal != 0) {
    return Of(Meaning(ending.first_signal), step);
  }
  if (IsDocumented(code)) {
    const std::string said = FirstErrorLine(ending.output_tail);
    const std::string what = "a rank exited " + std::to_string(code) + " without a failure file" +
                             (said.empty() ? "" : "; it said: " + said);
    return Failed(static_cast<ExitCode>(code), {-1, "", what}, step);
  }
  return Failed(ExitCode::kBug,
                {-1, "", "mpirun exited " + std::to_string(code) + ", and no rank said why"}, step);
}

}  // namespace

Verdict Judge(const Ending& ending) {
  // A rank that failed may have hung the others; one that only missed its peers tells less.
  const bool failed = !ending.failures.empty() && ending.failures.front().code != ExitCode::kPeer;
  // A rank that does not know whom it missed, while a node went away, missed that node.
  const bool left_by_a_node = !ending.failures.empty() && !ending.failures.front().failed &&
                              ending.unheard && ending.unheard->link != Link::kUp;
  if ((ending.node_lost || left_by_a_node) && !failed && !ending.result) {
    return Failed(ExitCode::kPeer, FailureOf(*ending.unheard), ending.last_step);
  }
  if (ending.hang && !failed && !ending.result) {
    Verdict verdict = Failed(ExitCode::kPeer, *ending.hang, ending.last_step);
    verdict.error_class = kHangClass;
    return verdict;
  }
  // What a rank wrote before it was killed still tells more than that it was killed.
  if (!ending.failures.empty()) {
    const rundir::Failure& first = ending.failures.front();
    // What a rank says may be of another one: whom it missed, or whose device is too small.
    const core::FailedRank who = first.failed.value_or(core::FailedRank{first.rank, first.host});
    return Failed(first.code, {who.rank, who.host, first.what},
                  std::max(first.step, ending.last_step));
  }
  if (ending.result) return JudgeResult(ending);
  if (ending.second_signal != 0) return JudgeKilledByUs(ending);
  if (StoppedInStartUp(ending)) return Of(Meaning(ending.first_signal), ending.last_step);
  if (ending.grace_over) return JudgeKilledByUs(ending);
  return JudgeMpirun(ending);
}

}  // namespace moat::launch
