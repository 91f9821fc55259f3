// Trainer: a run from its first or last checkpoint to its target step, as one rank sees it.
//
// The loop: step; report; evaluate every eval_every steps; save every checkpoint_every steps, at
// the end and when asked to stop. Every decision that could differ by rank is taken collectively.
// Nothing here knows which communicator or launcher it runs on.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "configs/train_config.h"
#include "core/error.h"
#include "core/host.h"
#include "data/sample_stream.h"
#include "data/tokenizer.h"
#include "model/architecture/memory_plan.h"
#include "rundir/board.h"
#include "rundir/layout.h"
#include "rundir/metrics.h"
#include "trainer/device_memory.h"
#include "trainer/evaluation.h"
#include "trainer/rank_groups.h"
#include "trainer/run_checkpoints.h"
#include "trainer/run_start.h"
#include "trainer/run_state.h"
#include "trainer/time_left.h"
#include "trainer/training_step.h"

namespace moat::trainer {

struct TrainerOptions {
  configs::TrainConfig config;  // complete: vocab_size and dp are resolved
  rundir::RunLayout layout;
  int attempt = 0;
  Identity identity;           // what may not change between attempts, besides the data's digests
  std::string device = "cpu";  // that the stream works on, for people
  std::string device_name;     // as it calls itself; "" on CPUs
  std::vector<int> device_ranks;  // of the world, that work on it; empty: this one alone
  double device_peak = 0;  // FLOP/s of dense bf16 products that it is sold with; 0: not known
  std::function<int()> stop_code;        // 0, or 75 / 78 once this rank was asked to stop
  rundir::BoardWriter* board = nullptr;  // where this rank says what it is doing; may be null
};

class Trainer {
 public:
  // Collective over the world, the ranks of the run. Opens the data sets and sets up the model;
  // throws what is wrong with any.
  Trainer(TrainerOptions options, const RankGroups& groups, tensor::Stream& stream);
  ~Trainer();

  // Collective. Resumes or starts, and trains. kOk: the target step is reached; kPreempted or
  // kStopped: asked to stop, and saved.
  core::ExitCode Run();

  int64_t step() const { return progress_.step; }  // updates done
  model::Transformer& model() { return model_; }
  Optimizer& optimizer() { return optimizer_; }
  const std::vector<data::Dataset>& datasets() const {
    return datasets_;
  }                                                               // in the order of --data
  const Identity& identity() const { return options_.identity; }  // complete
  uint64_t sample_hash() const { return progress_.sample_hash; }

 private:
  core::ExitCode Work();
  void StartOrResume();
  void Resume();
  Identity LoadNewest();
  void Begin();
  void AgreeOnProducts();
  std::vector<uint64_t> SamplesOf(
      int64_t taken) const;  // of this rank's micro-batch number `taken` of this attempt
  void Report(const StepResult& result, double seconds, double waited);
  ControlWords Say();
  int Asked(bool evaluation_due) const;  // to stop: this rank, 0, 75 or 78
  bool Evaluate();                       // is it the best so far?
  void ReportEvaluation(const Evaluation& evaluation, const std::vector<Evaluation>& parts,
                        bool best, double seconds);
  void Save(bool wait);
  void ReportSave(rundir::SaveLine line);
  model::MemoryOptions PlanOf() const;
  const configs::ModelConfig& Fitting(const configs::ModelConfig& model) const;
  void Describe() const;
  void DescribeData() const;
  core::Bytes DescribeMemory() const;
  void ReportEnd(core::Bytes planned);
  void EnterPhase(rundir::Phase phase);
  bool leader() const { return groups_.world.rank() == 0; }

  TrainerOptions options_;
  core::Bytes before_ = core::ResidentMemory();  // of this process, when the trainer was made
  DeviceMemory device_memory_;
  RankGroups groups_;
  tensor::Stream& stream_;
  Start start_;
  std::vector<data::Dataset> datasets_;
  data::SampleStream train_;
  std::vector<data::SampleStream> validation_;  // of each data set
  parallel::CanonicalWays ways_;
  model::Transformer model_;
  Optimizer optimizer_;
  std::vector<Evaluator> evaluators_;  // of each data set
  RunProgress progress_;
  int64_t first_step_ = 0;                          // of this attempt
  double gemm_rate_ = 0;                            // FLOP/s of all ranks together
  double training_seconds_ = 0;                     // of this attempt's steps, for the ETA
  TimeLeft time_left_;                              // rank 0's counts
  std::unique_ptr<rundir::MetricsWriter> metrics_;  // rank 0
  std::unique_ptr<RunCheckpoints> checkpoints_;     // once there is something to train
};

}  // namespace moat::trainer
