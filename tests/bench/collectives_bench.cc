// Milliseconds of collectives over host memory, beside MPI's own in the same run.
//
//   mpirun -np 2 --bind-to none build/bin/bench_collectives [million f32, default 124]
//   mpirun -np 8 build/bin/bench_collectives 124 cuda [JSON file]
//
// With "cuda": of device memory, in rows of a table in Markdown, over NCCL where each rank has a
// device, and through staging buffers. Rates are what a rank receives at the least, a second.
#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "comm/mpi.h"
#include "comm/nccl.h"
#include "comm/staged.h"
#include "core/clock.h"

namespace moat {
namespace {

constexpr int kRounds = 7;

struct Case {
  std::string what;
  int64_t piece = 0;
  std::function<void()> body;
  double best = 1e30;  // milliseconds, from a barrier to the last rank's end
};

// Rounds over all cases, so that a busy moment of the machine does not strike one case alone.
void Measure(comm::Communicator& world, std::vector<Case>& cases) {
  for (int round = 0; round < kRounds; ++round) {
    for (Case& each : cases) {
      world.Barrier();
      const double start = core::MonotonicSeconds();
      each.body();
      world.Barrier();
      each.best = std::min(each.best, (core::MonotonicSeconds() - start) * 1e3);
    }
  }
}

void AddPath(comm::Communicator& world, const std::string& path, int64_t piece, tensor::View whole,
             tensor::View part, std::vector<Case>* cases) {
  static tensor::Stream stream;
  cases->push_back({path + "all_reduce", piece, [&world, whole] {
                      world.AllReduce(whole, comm::ReduceOp::kSum, comm::Order::kTree, stream);
                    }});
  cases->push_back({path + "reduce_scatter", piece, [&world, whole, part] {
                      world.ReduceScatter(whole, part, comm::ReduceOp::kSum, comm::Order::kTree,
                                          stream);
                    }});
  cases->push_back({path + "all_gather", piece,
                    [&world, whole, part] { world.AllGather(part, whole, stream); }});
}

// Of `bytes` over all ranks in a second; the best of some rounds, ended by all.
void ReportDevice(const std::string& what, comm::Communicator& group, tensor::Stream& stream,
                  double bytes, const char* json, const std::function<void()>& body) {
  double best = 1e30;
  for (int round = 0; round < kRounds; ++round) {
    group.Finish(stream);
    group.Barrier();
    const double start = core::MonotonicSeconds();
    body();
    group.Finish(stream);
    group.Barrier();
    if (round > 0) best = std::min(best, core::MonotonicSeconds() - start);
  }
  if (group.rank() != 0) return;
  std::printf("| %s | %d | %.2f | %.1f |\n", what.c_str(), group.size(), best * 1e3,
              bytes / best / 1e9);
  if (json == nullptr) return;
  std::ofstream(json, std::ios::app)
      << R"({"part":"collectives","what":")" << what << R"(","ranks":)" << group.size()
      << R"(,"ms":)" << best * 1e3 << R"(,"gbytes_per_s":)" << bytes / best / 1e9 << "}\n";
}

int OnDevice(comm::MpiSession& session, int64_t count, const char* json) {
  const int devices = std::max(1, tensor::CudaDevice().count()), n = session.size();
  tensor::Stream stream(core::DeviceKind::kCuda, session.local_rank() % devices);
  tensor::Tensor whole(count, core::DType::kF32, core::DeviceKind::kCuda);
  tensor::Tensor part(count / n, core::DType::kF32, core::DeviceKind::kCuda);
  const double block = 4.0 * static_cast<double>(count) / n * (n - 1);
  const auto all = [&](const std::string& path, comm::Communicator& group) {
    for (const comm::Order order : {comm::Order::kAny, comm::Order::kTree}) {
      const std::string in = order == comm::Order::kTree ? ", in tree order" : "";
      ReportDevice(path + "all-reduce" + in, group, stream, 2 * block, json,
                   [&] { group.AllReduce(whole.view(), comm::ReduceOp::kSum, order, stream); });
      ReportDevice(path + "reduce-scatter" + in, group, stream, block, json, [&] {
        group.ReduceScatter(whole.view(), part.view(), comm::ReduceOp::kSum, order, stream);
      });
    }
    ReportDevice(path + "all-gather", group, stream, block, json,
                 [&] { group.AllGather(part.view(), whole.view(), stream); });
  };
  if (session.local_size() <= devices) all("NCCL ", *comm::MakeNccl(session.World()));
  all("staged ", *comm::MakeStaged(session.World()));
  return 0;
}

int Main(int argc, char** argv) {
  comm::MpiSession session(&argc, &argv);
  int64_t count = (argc > 1 ? std::atoll(argv[1]) : 124) * 1000000;
  count -= count % session.size();
  if (argc > 2 && std::string(argv[2]) == "cuda") {
    return OnDevice(session, count, argc > 3 ? argv[3] : nullptr);
  }
  tensor::Tensor data(count, core::DType::kF32);
  tensor::Tensor out(count / session.size(), core::DType::kF32);
  std::vector<int> ranks;
  for (int r = 0; r < session.size(); ++r) ranks.push_back(r);
  std::vector<std::unique_ptr<comm::Communicator>> groups;
  std::vector<Case> cases;
  for (const int64_t piece : {1 << 17, 1 << 18, 1 << 19, 1 << 20, 1 << 21, 1 << 22}) {
    groups.push_back(session.Group("shm", ranks, comm::MpiPath::kSharedMemory, piece));
    AddPath(*groups.back(), "shared memory, ", piece, data.view(), out.view(), &cases);
  }
  for (const int64_t piece : {1 << 20, 1 << 22}) {
    groups.push_back(session.Group("network", ranks, comm::MpiPath::kNetwork, piece));
    AddPath(*groups.back(), "messages, ", piece, data.view(), out.view(), &cases);
  }
  float* const values = data.view().as<float>();
  for (const int64_t piece : {int64_t{1} << 20, int64_t{1} << 22, count * 4}) {
    cases.push_back({"MPI_Allreduce", piece, [=] {
                       for (int64_t at = 0; at < count; at += piece / 4) {
                         MPI_Allreduce(MPI_IN_PLACE, values + at,
                                       static_cast<int>(std::min(piece / 4, count - at)), MPI_FLOAT,
                                       MPI_SUM, MPI_COMM_WORLD);
                       }
                     }});
  }
  Measure(*session.World(), cases);
  for (const Case& each : cases) {
    if (session.rank() != 0) break;
    std::printf("%-34s %7lld KiB pieces %8.1f ms\n", each.what.c_str(),
                static_cast<long long>(each.piece >> 10), each.best);
  }
  return 0;
}

}  // namespace
}  // namespace moat

int main(int argc, char** argv) {
  return moat::core::RunMain([&] { return moat::Main(argc, argv); });
}
