// What a training run is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "configs/model_config.h"
#include "core/dtype.h"

namespace moat::configs {

enum class Reduction { kCanonical, kFast };
enum class OverlapMode { kAuto, kOff, kOn };
enum class CheckpointFiles { kAuto, kRank, kNode };

const char* Name(Reduction reduction);    // "canonical", "fast": as the flag says it
const char* Name(OverlapMode mode);       // "auto", "off", "on"
const char* Name(CheckpointFiles files);  // "auto", "rank", "node"

struct TrainConfig {
  ModelConfig model;  // vocab_size 0: taken from the data set

  std::vector<std::string> data;     // data set directories
  std::vector<double> data_weights;  // one for each of data; empty: by their numbers of samples
  // One for each of data; empty or 0: the one the run began with, else the newest.
  std::vector<int> data_version;
  std::string init_from;  // run or checkpoint directory whose weights the run begins with; "": none
  std::string run_root = "runs";
  std::string run;              // name; required
  std::string resume = "auto";  // auto | never | STEP

  int dp = -1;
  int tp = 1;
  bool sequence_parallel = false;  // tensor ranks share the slots between the split layers
  int zero = 1;     // 1: data ranks share the optimizer's state; 0: each has all of it
  int threads = 0;  // per rank; 0: cores of the node / ranks on it, at least 1
  Reduction reduction = Reduction::kCanonical;
  Recompute recompute = Recompute::kNone;
  int canonical_ways = 0;  // 0: default
  OverlapMode overlap = OverlapMode::kAuto;
  core::DType dtype = core::DType::kF32;
  MatmulDType matmul_dtype = MatmulDType::kSame;
  double peak_tflops = 0;       // of one device, dense bf16; 0: by its name
  std::string profile_steps;    // "FIRST:LAST", or ""
  bool tune_products = true;    // measure a device's algorithms for products, once for a run
  bool dtype_fallback = false;  // f32 where a processor lacks the instructions for dtype
  std::string device = "auto";

  uint64_t seed = 1;
  int64_t steps = 100;
  int64_t global_batch = 16;                                    // sequences
  int64_t micro_batch = 2;                                      // sequences in one forward pass
  std::string pack = "separate";                                // or concat: data/packing.h
  std::vector<std::string> loss_roles = {"assistant", "text"};  // configs/loss_roles.h

  double lr = 3e-4;
  double min_lr = 0.1;  // as a share of lr, at the end of the cosine
  int64_t warmup = 10;  // steps
  double weight_decay = 0.1;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double adam_epsilon = 1e-8;
  double clip = 1.0;  // global norm; 0: off

  int64_t check_replicas_every = 100;  // 0: never
  int64_t eval_every = 50;             // 0: never; always at the end
  // Micro-batches of each validation split per evaluation, over all ranks; 0: all of it.
  int64_t eval_batches = 0;
  int64_t checkpoint_every = 50;
  int keep_checkpoints = 2;
  int64_t keep_every = 0;  // checkpoints of steps that this divides stay, as milestones; 0: none
  CheckpointFiles checkpoint_files = CheckpointFiles::kAuto;  // who writes a file
  std::string local_checkpoint_dir;    // of each node: checkpoint/local_tier.h; "": no copies there
  int64_t local_checkpoint_every = 1;  // steps between copies
  bool async_checkpoints = true;       // write them beside training, from a copy of the state
  bool strict_checkpoints = false;     // the first save that fails ends the run, not the third
  std::optional<int64_t> end_time;     // Unix seconds: the run saves and goes before then
  double collective_timeout = 300;     // seconds a rank may be late at a collective
};

// Throws ConfigError naming the flag, what was expected and what was found. It does not ask for
// `run` and `data`, so that a preset can be checked; TrainConfigFromFlags does.
void Validate(const TrainConfig& config);

// The steps of --profile_steps=FIRST:LAST; {0, 0} of "". Throws ConfigError for anything else.
std::pair<int64_t, int64_t> ProfiledSteps(const std::string& text);

// --device=auto|cpu|cuda. Throws ConfigError for anything else.
void ValidateDevice(const std::string& device);

// Does each of `dp` data ranks keep a part of the optimizer's state only?
bool Sharded(const TrainConfig& config, int dp);

// Does a run save from copies of its state, so that it needs memory for one?
bool CopiesForCheckpoints(const TrainConfig& config);

}  // namespace moat::configs
