// Ranks whose collectives do not match: one waits in the world, the other in its data group.
#include "comm/mpi.h"
#include "core/orphan.h"
#include "rundir/attempt.h"
#include "rundir/board.h"
#include "rundir/layout.h"

int main(int argc, char** argv) {
  moat::core::DieWithParent();
  const auto attempt = moat::rundir::AttemptFromEnvironment();
  if (!attempt) return 70;
  moat::comm::MpiSession session(&argc, &argv, {});
  const moat::rundir::RunLayout layout{attempt->run_dir};
  moat::rundir::BoardWriter board(layout.board(attempt->attempt, session.rank()));
  const auto world = session.World();
  world->ShowOn(&board);
  const auto data = world->Group("data", {0, 1});
  board.EnterPhase(moat::rundir::Phase::kStep, 5);
  for (int i = 0; i < 3; ++i) data->Barrier();
  if (session.rank() == 0) world->Barrier();
  data->Barrier();
  return 0;
}
