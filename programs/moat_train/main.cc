// moat-train: one rank of a training run. mpirun starts it, mostly for `moat launch`.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <sstream>

#include "comm/grid.h"
#include "comm/libraries.h"
#include "comm/mpi.h"
#include "configs/command_line.h"
#include "configs/identity.h"
#include "core/clock.h"
#include "core/device_sheet.h"
#include "core/digest.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/host.h"
#include "core/logging.h"
#include "core/orphan.h"
#include "core/signals.h"
#include "data/libraries.h"
#include "launch/node_watcher.h"
#include "parallel/process_grid.h"
#include "rundir/attempt.h"
#include "rundir/board.h"
#include "rundir/capsule.h"
#include "rundir/failure.h"
#include "rundir/lease.h"
#include "tensor/cpu_features.h"
#include "tensor/libraries.h"
#include "trainer/device_choice.h"
#include "trainer/gradient_sync.h"
#include "trainer/trainer.h"
#include "trainer/usable_dtype.h"

namespace moat::programs {
namespace {

// What is known about this rank when something fails.
struct Rank {
  rundir::RunLayout layout;
  int attempt = 0;
  int rank = 0;
  std::string host;
  int64_t step = 0;
  bool supervised = false;
  bool reported = false;  // its failure is written
};

int ThreadsPerRank(const configs::TrainConfig& config, const comm::MpiSession& session) {
  if (config.threads > 0) return config.threads;
  return std::max(1, core::Cores() / session.local_size());
}

// Of bf16 products: what else a run computes in is compared only with what the user says.
double PeakOf(const trainer::DeviceChoice& device, const configs::TrainConfig& config) {
  if (device.kind == core::DeviceKind::kCpu) return 0;
  if (config.peak_tflops > 0) return config.peak_tflops * 1e12;
  return config.dtype == core::DType::kBF16 ? core::DenseBf16Peak(device.name) : 0;
}

// What only a rank knows: the libraries it runs with, and what it reads.
void CompleteCapsule(const Rank& self, const trainer::Trainer& trainer) {
  rundir::CapsuleEntry entry = rundir::DescribeBuild();
  entry.attempt = self.attempt;
  for (const auto& versions :
       {comm::LibraryVersions(), data::LibraryVersions(), tensor::LibraryVersions()}) {
    entry.libraries.insert(versions.begin(), versions.end());
  }
  const trainer::Identity& identity = trainer.identity();
  entry.data = {{"content", identity.at("data content")},
                {"version", identity.at("data version")},
                {"tokenizer", identity.at("tokenizer")},
                {"template", trainer.datasets().front().template_digest()}};
  if (const auto weights = identity.find("data weights"); weights != identity.end()) {
    entry.data["weights"] = weights->second;
  }
  rundir::AppendCapsule(self.layout, entry);
}

// Collective. Ranks that train with other flags would differ, or wait for each other, for ever.
void CheckSameFlags(const configs::CommandLine& line, comm::Communicator& world) {
  const std::string mine = line.ResolvedFlags("train");
  const std::vector<std::string> digests = world.AllGatherText(core::Hex(core::Sha256Of(mine)));
  if (std::count(digests.begin(), digests.end(), digests[0]) == world.size()) return;
  const std::vector<std::string> all = world.AllGatherText(mine);
  for (size_t rank = 1; rank < all.size(); ++rank) {
    std::istringstream here(all[rank]), there(all[0]);
    std::string line_here, line_there;
    while (line_here == line_there && std::getline(here, line_here)) {
      std::getline(there, line_there);
    }
    if (line_here == line_there) continue;
    throw core::ConfigError("rank " + std::to_string(rank) + " was started with " + line_here +
                            ", rank 0 with " + line_there + "; give all ranks the same flags");
  }
}

// Tensor ranks exchange activations several times a layer, which only a node's memory is fast
// enough for.
void WarnOfWideTensorGroup(const comm::Communicator& tensor) {
  for (const comm::Member& member : tensor.members()) {
    if (member.host == tensor.members().front().host) continue;
    core::Log(core::Log::kWarning) << "the tensor group of rank " << member.world_rank << " spans "
                                   << member.host << " and " << tensor.members().front().host
                                   << ": start so many ranks a node that --tp divides them, or "
                                      "steps will wait for the network";
    return;
  }
}

// Once: what is known of the failure. Returns whether it was written.
bool ReportFailure(Rank& self, const core::Error& error) {
  if (!self.reported) {
    self.reported = rundir::WriteFailure(self.layout, self.attempt,
                                         {self.rank, self.host, error.code(), error.what(),
                                          self.step, core::WallMicroseconds(), error.failed()});
  }
  return self.reported;
}

core::ExitCode Train(const configs::CommandLine& line, comm::MpiSession& session, Rank& self) {
  trainer::TrainerOptions options;
  options.config = configs::TrainConfigFromFlags(line);
  const char* const scheduled = std::getenv("SLURM_JOB_END_TIME");
  if (!options.config.end_time && scheduled != nullptr) {
    options.config.end_time = core::ParseTime(scheduled);
  }
  options.layout = self.layout;
  options.attempt = self.attempt;
  options.identity = configs::IdentityOf(line);
  core::StopRequest stop(self.supervised ? core::SecondSignal::kIsCounted
                                         : core::SecondSignal::kEndsTheProcess);
  options.stop_code = [&] { return stop.exit_code(); };
  core::MakeDirectories(self.layout.logs(self.attempt));
  rundir::BoardWriter board(self.layout.board(self.attempt, self.rank), &stop);
  options.board = &board;
  std::unique_ptr<comm::Communicator> world = session.World();
  world->ShowOn(&board);
  CheckSameFlags(line, *world);
  const parallel::ProcessGrid grid(session.size(), options.config.dp, options.config.tp);
  const trainer::DeviceChoice device =
      trainer::ChooseDevice(options.config.device, trainer::DevicesHere(core::DeviceKind::kCuda),
                            session.local_rank(), *world);
  const bool on_cpu = device.kind == core::DeviceKind::kCpu;
  options.config.dtype =
      trainer::UsableDType(options.config.dtype, options.config.dtype_fallback,
                           on_cpu ? tensor::MissingInstructions(options.config.dtype) : "", *world);
  options.identity["dtype"] = core::Name(options.config.dtype);
  // Without bf16 there is nothing that FP8 would be made of.
  if (options.config.dtype == core::DType::kF32) {
    options.config.matmul_dtype = configs::MatmulDType::kSame;
  }
  options.identity["matmul_dtype"] = Name(options.config.matmul_dtype);
  comm::GridCommunicators groups = comm::MakeGrid(*world, grid);
  WarnOfWideTensorGroup(*groups.tensor);
  const std::string exchange = trainer::MoveToDevice(device, &groups);
  options.device = device.text() + (exchange.empty() ? "" : ", " + exchange);
  options.device_name = device.name;
  options.device_ranks = device.ranks;
  options.device_peak = PeakOf(device, options.config);
  options.config.threads = ThreadsPerRank(options.config, session);
  // Beside a device a rank's own thread computes little.
  const int busy = session.local_size() * ((on_cpu ? options.config.threads : 1) + 1);
  options.config.overlap = trainer::ResolveOverlap(options.config.overlap, core::Cores() >= busy,
                                                   *groups.data, *groups.tensor);
  tensor::Stream stream = trainer::MakeStream(device, options.config.threads);

  trainer::Trainer trainer(options, {*world, *groups.data, *groups.tensor}, stream);
  if (self.rank == 0) CompleteCapsule(self, trainer);
  core::ExitCode code;
  try {
    code = trainer.Run();
  } catch (const core::Error& error) {
    // Before unwinding, which may wait for the disk: whoever watches wants to know why.
    self.step = trainer.step();
    ReportFailure(self, error);
    board.EnterPhase(rundir::Phase::kFinishing, self.step);
    throw;
  }
  world->Barrier();  // all are done before rank 0 says so
  if (self.rank == 0) rundir::WriteResult(self.layout, self.attempt, {code, trainer.step()});
  return code;
}

int Main(int argc, char** argv, Rank& self) {
  const configs::CommandLine line = configs::CommandLine::Parse("train", argc, argv);
  if (line.help_printed()) return 0;
  const auto supervised = rundir::AttemptFromEnvironment();
  if (supervised) {
    core::DieWithParent();
    launch::StartNodeWatcher();
    self.supervised = true;
    self.attempt = supervised->attempt;
    self.layout.root = supervised->run_dir;
  } else {
    self.layout = rundir::LayoutOf(line.value("run_root"), line.value("run"));
  }
  comm::MpiOptions mpi;
  mpi.deadline_seconds = line.Double("collective_timeout");
  comm::MpiSession session(&argc, &argv, mpi);
  self.rank = session.rank();
  self.host = session.host(self.rank);
  core::StartLogging("moat-train", session.size() > 1 && self.rank > 0 ? self.rank : -1);

  std::optional<rundir::Lease> lease;
  if (!supervised && self.rank == 0) {
    core::MakeDirectories(self.layout.root);
    lease.emplace(self.layout);
  }
  const core::ExitCode code = Train(line, session, self);
  return rundir::OrderlyExit(code);
}

}  // namespace
}  // namespace moat::programs

int main(int argc, char** argv) {
  moat::programs::Rank self;
  const auto on_error = [&](const moat::core::Error& error) {
    if (self.layout.root.empty()) return false;
    return moat::programs::ReportFailure(self, error) && self.supervised;  // it says so then
  };
  moat::core::StartLogging("moat-train");
  return moat::core::RunMain([&] { return moat::programs::Main(argc, argv, self); }, on_error);
}
