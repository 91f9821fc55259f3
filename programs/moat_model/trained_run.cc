// Finding a run and its checkpoint.
#include "programs/moat_model/trained_run.h"

#include "checkpoint/checkpoint.h"
#include "checkpoint/manifest/line.h"
#include "comm/self.h"
#include "configs/command_line.h"
#include "core/error.h"
#include "core/host.h"
#include "rundir/layout.h"
#include "tensor/cpu_features.h"
#include "trainer/run_state.h"

namespace moat::programs {
namespace {

namespace fs = std::filesystem;

// "best": the newest checkpoint knows which step was best; if that one is still there, it is taken.
fs::path ChooseCheckpoint(const fs::path& root, const std::string& run, const std::string& asked) {
  if (!asked.empty() && asked != "best" && asked != "newest") return asked;
  const auto self = comm::MakeSelf();
  const auto newest = checkpoint::ChooseNewest(root, *self);
  if (!newest) {
    throw core::ConfigError("the run " + run + " has no checkpoint in " + root.string() +
                            " yet; train it first with moat launch --run=" + run);
  }
  if (asked == "newest") return *newest;
  const int64_t best = trainer::ReadProgress(checkpoint::ReadManifest(*newest)).best.step;
  for (const auto& candidate : checkpoint::ListLine(root)) {
    if (candidate.step == best) return candidate.path;
  }
  return *newest;
}

}  // namespace

TrainedRun OpenRun(const std::string& run_root, const std::string& run,
                   const std::string& checkpoint) {
  const rundir::RunLayout layout = rundir::LayoutOf(run_root, run);
  if (!fs::exists(layout.flags())) {
    throw core::ConfigError("there is no run " + run + " in " + run_root + " (" +
                            layout.flags().string() + " is absent); moat runs lists what there is");
  }
  const auto line = configs::CommandLine::Parse(
      "train", std::vector<std::string>{"--flagfile=" + layout.flags().string()});
  configs::TrainConfig train = configs::TrainConfigFromFlags(line);
  // Checkpoints hold f32 weights: a run reads everywhere, at the speed of what the processor has.
  if (!tensor::MissingInstructions(train.dtype).empty()) train.dtype = core::DType::kF32;
  return {train, ChooseCheckpoint(layout.checkpoints(), run, checkpoint)};
}

int ThreadsOf(int asked) { return asked > 0 ? asked : core::Cores(); }

}  // namespace moat::programs
