// Finding a run and its checkpoint.
#include "programs/moat_model/trained_run.h"

#include "comm/self.h"
#include "configs/command_line.h"
#include "core/error.h"
#include "rundir/layout.h"
#include "tensor/cpu_features.h"
#include "trainer/run_start.h"

namespace moat::programs {

TrainedRun OpenRun(const std::string& run_root, const std::string& run,
                   const std::string& checkpoint) {
  const rundir::RunLayout layout = rundir::LayoutOf(run_root, run);
  if (!std::filesystem::exists(layout.flags())) {
    throw core::ConfigError("there is no run " + run + " in " + run_root + " (" +
                            layout.flags().string() + " is absent); moat runs lists what there is");
  }
  const auto line = configs::CommandLine::Parse(
      "train", std::vector<std::string>{"--flagfile=" + layout.flags().string()});
  configs::TrainConfig train = configs::TrainConfigFromFlags(line);
  // Checkpoints hold f32 weights: a run reads everywhere, at the speed of what the processor has.
  if (!tensor::MissingInstructions(train.dtype).empty()) {
    train.dtype = core::DType::kF32;
    train.matmul_dtype = configs::MatmulDType::kSame;
  }
  return {train, trainer::ChooseTrained(layout.checkpoints(), run, checkpoint, *comm::MakeSelf())};
}

}  // namespace moat::programs
