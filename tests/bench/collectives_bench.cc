// Milliseconds of collectives over host memory, beside MPI's own in the same run.
//
//   mpirun -np 2 --bind-to none build/bin/bench_collectives [million f32, default 124]
#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "comm/mpi.h"
#include "core/clock.h"

namespace moat {
namespace {

// The best of some repeats, from a barrier to the last rank's end.
double Milliseconds(comm::Communicator& world, const std::function<void()>& body) {
  double best = 1e30;
  for (int repeat = 0; repeat < 5; ++repeat) {
    world.Barrier();
    const double start = core::MonotonicSeconds();
    body();
    world.Barrier();
    best = std::min(best, (core::MonotonicSeconds() - start) * 1e3);
  }
  return best;
}

void Report(const comm::MpiSession& session, const char* what, int64_t piece, double ms) {
  if (session.rank() != 0) return;
  std::printf("%-34s %6lld KiB pieces  %8.1f ms\n", what, static_cast<long long>(piece >> 10), ms);
  std::fflush(stdout);
}

void MeasurePath(comm::MpiSession& session, comm::MpiPath path, int64_t piece, float* data,
                 int64_t count, float* out) {
  std::vector<int> ranks;
  for (int r = 0; r < session.size(); ++r) ranks.push_back(r);
  const auto world = session.Group("world", ranks, path, piece);
  tensor::Stream stream;
  const std::string name = path == comm::MpiPath::kNetwork ? "messages, " : "shared memory, ";
  const tensor::View whole = tensor::HostView(data, count);
  const tensor::View part = tensor::HostView(out, count / session.size());
  Report(session, (name + "all_reduce").c_str(), piece, Milliseconds(*world, [&] {
           world->AllReduce(whole, comm::ReduceOp::kSum, comm::Order::kTree, stream);
         }));
  Report(session, (name + "reduce_scatter").c_str(), piece, Milliseconds(*world, [&] {
           world->ReduceScatter(whole, part, comm::ReduceOp::kSum, comm::Order::kTree, stream);
         }));
  Report(session, (name + "all_gather").c_str(), piece,
         Milliseconds(*world, [&] { world->AllGather(part, whole, stream); }));
}

int Main(int argc, char** argv) {
  comm::MpiSession session(&argc, &argv);
  int64_t count = (argc > 1 ? std::atoll(argv[1]) : 124) * 1000000;
  count -= count % session.size();
  tensor::Tensor data(count, core::DType::kF32);
  tensor::Tensor out(count / session.size(), core::DType::kF32);
  float* const values = data.view().as<float>();
  for (const int64_t piece : {1 << 18, 1 << 19, 1 << 20, 1 << 21, 1 << 22}) {
    MeasurePath(session, comm::MpiPath::kSharedMemory, piece, values, count,
                out.view().as<float>());
  }
  for (const int64_t piece : {1 << 20, 1 << 22}) {
    MeasurePath(session, comm::MpiPath::kNetwork, piece, values, count, out.view().as<float>());
  }
  const auto world = session.World();
  for (const int64_t piece : {int64_t{1} << 20, int64_t{1} << 22, count * 4}) {
    Report(session, "MPI_Allreduce", piece, Milliseconds(*world, [&] {
             for (int64_t at = 0; at < count; at += piece / 4) {
               MPI_Allreduce(MPI_IN_PLACE, values + at,
                             static_cast<int>(std::min(piece / 4, count - at)), MPI_FLOAT, MPI_SUM,
                             MPI_COMM_WORLD);
             }
           }));
  }
  const double barriers = Milliseconds(*world, [&] {
    for (int i = 0; i < 1000; ++i) world->Barrier();
  });
  Report(session, "1000 barriers", 0, barriers);
  return 0;
}

}  // namespace
}  // namespace moat

int main(int argc, char** argv) {
  return moat::core::RunMain([&] { return moat::Main(argc, argv); });
}
