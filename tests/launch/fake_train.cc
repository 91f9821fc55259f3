// A trainer that only behaves like one: FAKE_TRAIN says how its ranks end.
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "core/durable_file.h"
#include "core/host.h"
#include "core/orphan.h"
#include "core/signals.h"
#include "rundir/attempt.h"
#include "rundir/board.h"
#include "rundir/failure.h"
#include "rundir/metrics.h"

namespace {

using moat::core::ExitCode;

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

struct Rank {
  moat::rundir::RunLayout layout;
  int attempt = 0;
  int rank = 0;

  int End(ExitCode code, int64_t step) const {
    if (rank == 0) moat::rundir::WriteResult(layout, attempt, {code, step});
    return moat::rundir::OrderlyExit(code);
  }
  void Train() const {
    if (rank != 0) return;
    moat::rundir::MetricsWriter metrics(layout.metrics());
    for (int step = 1; step <= 3; ++step) {
      moat::rundir::StepLine line;
      line.attempt = attempt;
      line.step = step;
      line.loss = 4.0 - step;
      metrics.Append(line);
    }
  }
  // Tells the test that this rank is there and which process it is.
  void Announce() const {
    moat::core::WriteFileAtomically(layout.logs(attempt) / ("pid-" + std::to_string(rank)),
                                    std::to_string(getpid()));
  }
};

int UntilAsked(const Rank& rank, const moat::core::StopRequest& stop) {
  rank.Announce();
  while (!stop.requested()) usleep(1000);
  return rank.End(static_cast<ExitCode>(stop.exit_code()), 3);
}

// Steps that take 20 ms; the slow rank is busy all the time, the other one waits for it.
int Straggle(const Rank& rank, moat::rundir::BoardWriter& board,
             const moat::core::StopRequest& stop) {
  const int group = board.AddGroup("data");
  rank.Announce();
  for (int64_t step = 0; !stop.requested(); ++step) {
    board.EnterPhase(moat::rundir::Phase::kStep, step);
    if (rank.rank == 1) usleep(20000);
    board.EnterCollective(group, "all_reduce", 4096, static_cast<uint64_t>(step));
    if (rank.rank == 0) usleep(20000);
    board.LeaveCollective(group);
  }
  return rank.End(static_cast<ExitCode>(stop.exit_code()), 3);
}

// A rank that is in a step; rank 1 stops there, the other one waits for it.
void Hang(const Rank& rank, moat::rundir::BoardWriter& board) {
  const int group = board.AddGroup("data");
  board.EnterPhase(moat::rundir::Phase::kStep, 2);
  rank.Announce();
  if (rank.rank == 1) raise(SIGSTOP);
  board.EnterCollective(group, "all_reduce", 4096, 17);
  while (true) pause();
}

int Behave(const std::string& how, const Rank& rank, moat::core::StopRequest& stop) {
  if (how == "starting") {  // no board yet, and what mpirun passes on early does not arrive
    signal(SIGTERM, SIG_DFL);
    signal(SIGUSR1, SIG_IGN);
    rank.Announce();
    while (true) pause();
  }
  if (how == "fail" && rank.rank == 1) {
    moat::rundir::WriteFailure(
        rank.layout, rank.attempt,
        {1, moat::core::HostName(), ExitCode::kData, "shard 7 is torn", 2, 1});
    return static_cast<int>(ExitCode::kData);
  }
  moat::rundir::BoardWriter board(rank.layout.board(rank.attempt, rank.rank), &stop);
  rank.Train();
  std::cout << "rank " << rank.rank << " writes to stdout" << std::endl;
  if (how == "succeed") return rank.End(ExitCode::kOk, 3);
  if (how == "silent") return 0;
  if (how == "until_asked") return UntilAsked(rank, stop);
  if (how == "deaf") {
    for (const int number : {SIGTERM, SIGUSR1, SIGINT}) signal(number, SIG_IGN);
    rank.Announce();
    while (true) pause();
  }
  if (how == "straggle") return Straggle(rank, board, stop);
  if (how == "hang") Hang(rank, board);
  if (how == "die" && rank.rank == 1) {
    board.EnterPhase(moat::rundir::Phase::kStep, 2);
    board.EnterCollective(board.AddGroup("data"), "all_reduce", 4096, 17);
    kill(getpid(), SIGKILL);
  }
  while (true) pause();
}

}  // namespace

int main() {
  moat::core::DieWithParent();
  moat::core::StopRequest stop;
  const auto attempt = moat::rundir::AttemptFromEnvironment();
  if (!attempt) return 70;
  const Rank rank{
      {attempt->run_dir}, attempt->attempt, std::atoi(Variable("OMPI_COMM_WORLD_RANK").c_str())};
  return Behave(Variable("FAKE_TRAIN"), rank, stop);
}
