// Two or more ranks, the last of which ends in the way asked for while the others wait for it.
//
//   mpirun -np 3 die_once throw|kill|absent|abort
#include <unistd.h>

#include <csignal>
#include <string>

#include "comm/mpi.h"

namespace moat {
namespace {

int Main(int argc, char** argv) {
  const std::string how = argc > 1 ? argv[1] : "";
  comm::MpiSession session(&argc, &argv);
  const auto world = session.World();
  world->Barrier();
  if (session.rank() == session.size() - 1) {
    if (how == "throw") throw core::DataError("the last rank met a bad record");
    if (how == "kill") std::raise(SIGKILL);
    if (how == "abort") session.Abort(core::ExitCode::kNode);
    while (how == "absent") pause();
  }
  if (how == "absent") world->SetDeadline(1);
  world->Barrier();
  return 0;
}

}  // namespace
}  // namespace moat

int main(int argc, char** argv) {
  return moat::core::RunMain([&] { return moat::Main(argc, argv); });
}
