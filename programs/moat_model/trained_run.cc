// Finding a run and its checkpoint.
#include "programs/moat_model/trained_run.h"

#include "comm/self.h"
#include "configs/command_line.h"
#include "core/error.h"
#include "core/logging.h"
#include "launch/run_choice.h"
#include "rundir/layout.h"
#include "tensor/cpu_features.h"
#include "tensor/ops.h"
#include "trainer/run_start.h"

namespace moat::programs {

TrainedRun OpenRun(const std::string& run_root, const std::string& run,
                   const std::string& checkpoint) {
  const rundir::RunLayout layout = rundir::LayoutOf(run_root, run);
  if (!std::filesystem::exists(layout.flags())) {
    throw core::ConfigError("there is no run " + run + " in " + run_root + " (" +
                            layout.flags().string() + " is absent)" +
                            launch::HintOfRun(run_root, run));
  }
  const auto line = configs::CommandLine::Parse(
      "train", std::vector<std::string>{"--flagfile=" + layout.flags().string()});
  return {configs::TrainConfigFromFlags(line),
          trainer::ChooseTrained(layout.checkpoints(), run, checkpoint, *comm::MakeSelf())};
}

void FitToDevice(const tensor::Stream& stream, configs::TrainConfig& train) {
  const bool on_cpu = stream.device() == core::DeviceKind::kCpu;
  if (on_cpu && !tensor::MissingInstructions(train.dtype).empty()) {
    core::Log() << "the processor has no " << tensor::MissingInstructions(train.dtype)
                << ": computing in f32";
    train.dtype = core::DType::kF32;
    train.matmul_dtype = configs::MatmulDType::kSame;
  }
  const bool float8 = train.matmul_dtype == configs::MatmulDType::kFp8;
  if (const std::string missing = tensor::MissingFloat8(stream); float8 && !missing.empty()) {
    core::Log() << missing << ": products are in bf16";
    train.matmul_dtype = configs::MatmulDType::kSame;
  }
}

}  // namespace moat::programs
