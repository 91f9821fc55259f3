// moat-probe: measures what training rests on. Alone, or one process per rank under mpirun, where
// all ranks measure at the same time. MPI starts only where it is needed, so that a broken one does
// not hide the rest.
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>

#include "comm/mpi.h"
#include "comm/nccl.h"
#include "comm/self.h"
#include "configs/command_line.h"
#include "core/error.h"
#include "core/host.h"
#include "core/logging.h"
#include "programs/moat_probe/data_read.h"
#include "programs/moat_probe/memory.h"
#include "programs/moat_probe/report.h"

namespace moat::programs {
namespace {

using Json = nlohmann::ordered_json;

bool StartedByLauncher() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

Json MeasureRank(const configs::ProbeConfig& config, comm::Communicator& world,
                 comm::MpiSession* session, int threads) {
  Json rank = {{"rank", world.rank()}, {"host", core::HostName()}, {"threads", threads}};
  for (const std::string type : {"f32", "bf16"}) {
    if (!config.Measures("gemm") && !config.Measures("gemm_" + type)) continue;
    world.Barrier();
    rank["gemm"][type] = ToJson(MeasureGemm(type == "bf16", threads, config.seconds));
  }
  if (config.Measures("memory")) {
    world.Barrier();
    rank["memory_gb_per_s"] = MeasureMemory(threads, config.seconds);
  }
  if (config.Measures("disk")) {
    world.Barrier();
    rank["disk"] = ToJson(MeasureDisk(config.run_root, world.rank()));
  }
  if (config.Measures("data") && !config.data.empty()) {
    world.Barrier();
    rank["data_mb_per_s"] = MeasureDataRead(config.data, world.rank(), world.size());
  }
  if (config.Measures("pairs") && session) rank["pairs_gb_per_s"] = MeasurePairs(*session, world);
  // One rank for all devices of the node.
  const bool leads = !StartedByLauncher() || world.rank() == 0;
  if (config.Measures("cuda") && leads) rank["cuda"] = ToJson(ProbeCuda());
  return rank;
}

// Over device memory where every rank of the node has a device of its own.
std::optional<Json> MeasureCudaCollectives(comm::MpiSession& session) {
  const bool mine = comm::NcclVersion() > 0 && session.local_size() <= tensor::CudaDevice().count();
  std::unique_ptr<comm::Communicator> world = session.World();
  if (world->AnyOf(!mine)) return std::nullopt;
  tensor::Stream stream(core::DeviceKind::kCuda, session.local_rank());
  const auto nccl = comm::MakeNccl(std::move(world));
  return ToJson(MeasureCollectives(*nccl, stream));
}

int Probe(const configs::ProbeConfig& config, int* argc, char*** argv) {
  std::optional<comm::MpiSession> session;
  const bool collectives =
      config.Measures("collectives") && (StartedByLauncher() || !config.measure.empty());
  if (collectives || StartedByLauncher()) session.emplace(argc, argv);
  const std::unique_ptr<comm::Communicator> world = session ? session->World() : comm::MakeSelf();
  const int ranks_here = session ? session->local_size() : 1;
  const int threads = config.threads > 0 ? config.threads : std::max(1, core::Cores() / ranks_here);

  Json whole;
  const std::string mine =
      MeasureRank(config, *world, session ? &*session : nullptr, threads).dump();
  for (const std::string& text : world->AllGatherText(mine)) {
    whole["ranks"].push_back(Json::parse(text));
  }
  if (collectives) {
    tensor::Stream host;
    whole["collectives"] = ToJson(MeasureCollectives(*world, host));
    if (auto device = MeasureCudaCollectives(*session)) whole["cuda_collectives"] = *device;
  }
  if (world->rank() == 0) std::cout << (config.json ? whole.dump(2) + "\n" : ToText(whole));
  return 0;
}

int Main(int argc, char** argv) {
  const auto line = configs::CommandLine::Parse("probe", argc, argv);
  if (line.help_printed()) return 0;
  return Probe(configs::ProbeConfigFromFlags(line), &argc, &argv);
}

}  // namespace
}  // namespace moat::programs

int main(int argc, char** argv) {
  moat::core::StartLogging("moat-probe");
  return moat::core::RunMain([&] { return moat::programs::Main(argc, argv); });
}
