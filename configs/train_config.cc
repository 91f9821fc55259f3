// What a training run may be.
#include "configs/train_config.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <numeric>
#include <set>
#include <string>
#include <system_error>

#include "configs/bounds.h"
#include "configs/loss_roles.h"

namespace moat::configs {
namespace {

std::string N(int64_t value) { return std::to_string(value); }

void ValidateResume(const std::string& resume) {
  if (resume == "auto" || resume == "never") return;
  const bool digits = !resume.empty() && resume.size() <= 18 &&
                      std::all_of(resume.begin(), resume.end(),
                                  [](unsigned char c) { return c >= '0' && c <= '9'; });
  if (!digits) Expected("resume", resume, "auto, never or the number of a saved step");
}

void ValidateGrid(const TrainConfig& config) {
  if (config.dp != -1) AtLeast("dp", config.dp, 1);
  AtLeast("tp", config.tp, 1);
  ValidateTensorSplit(config.model, config.tp, config.sequence_parallel);
  if (config.zero != 0 && config.zero != 1) Expected("zero", N(config.zero), "0 or 1");
  AtLeast("threads", config.threads, 0);
  AtLeast("canonical_ways", config.canonical_ways, 0);
  ValidateDevice(config.device);
  ProfiledSteps(config.profile_steps);
  Number("peak_tflops", config.peak_tflops, config.peak_tflops >= 0, "0 or more");
  if (config.dtype != core::DType::kF32 && config.dtype != core::DType::kBF16) {
    Expected("dtype", core::Name(config.dtype), "f32 or bf16");
  }
  if (config.matmul_dtype == MatmulDType::kFp8) {
    if (config.dtype != core::DType::kBF16) {
      throw core::ConfigError(
          "--matmul_dtype=fp8 with --dtype=" + std::string(core::Name(config.dtype)) +
          ": FP8 products are of weights and activations in bf16; use "
          "--dtype=bf16");
    }
    ValidateFloat8(config.model, config.tp);
  }
  Number("collective_timeout", config.collective_timeout, config.collective_timeout > 0,
         "seconds above 0");
}

// "1, 2, 4": what divides `n`, the first dozen.
std::string Divisors(int64_t n) {
  std::string text;
  for (int64_t d = 1, listed = 0; d <= n && listed < 12; ++d) {
    if (n % d != 0) continue;
    text += (listed++ == 0 ? "" : ", ") + N(d);
  }
  return text;
}

// One value for each --data, where there are values; a preset may leave --data to the command line.
void OneForEachData(const char* flag, size_t values, const TrainConfig& config) {
  if (values == 0 || config.data.empty() || values == config.data.size()) return;
  throw core::ConfigError("--" + std::string(flag) + " has " + N(static_cast<int64_t>(values)) +
                          (values == 1 ? " value" : " values") + " for " +
                          N(static_cast<int64_t>(config.data.size())) +
                          " data sets; give one for each --data, in the same order");
}

// Links followed where they can be; opening the directory says what is wrong with it.
std::filesystem::path WholePath(const std::string& directory) {
  std::error_code error;
  const std::filesystem::path given = std::filesystem::absolute(directory, error) / "";
  const std::filesystem::path found = std::filesystem::weakly_canonical(given, error);
  return error ? given.lexically_normal() : found;
}

void ValidateData(const TrainConfig& config) {
  constexpr double kLeastShare = 1e-6;
  std::set<std::filesystem::path> seen;
  for (const std::string& directory : config.data) {
    if (directory.empty()) Expected("data", directory, "a data set directory");
    if (seen.insert(WholePath(directory)).second) continue;
    throw core::ConfigError("--data=" + directory +
                            " is given twice; leave one out, and use --data_weights to read it "
                            "more often");
  }
  OneForEachData("data_version", config.data_version.size(), config);
  for (const int version : config.data_version) AtLeast("data_version", version, 0);
  OneForEachData("data_weights", config.data_weights.size(), config);
  for (const double weight : config.data_weights) {
    Number("data_weights", weight, weight > 0, "a number above 0");
  }
  const double sum = std::accumulate(config.data_weights.begin(), config.data_weights.end(), 0.0);
  for (const double weight : config.data_weights) {
    Number("data_weights", weight, weight / sum >= kLeastShare,
           "at least a millionth of the sum of all");
  }
}

void ValidateBatches(const TrainConfig& config) {
  AtLeast("global_batch", config.global_batch, 1);
  AtLeast("micro_batch", config.micro_batch, 1);
  if (config.global_batch % config.micro_batch != 0) {
    throw core::ConfigError("global_batch / micro_batch = " + N(config.global_batch) + " / " +
                            N(config.micro_batch) + " is not whole; choose --micro_batch from " +
                            Divisors(config.global_batch));
  }
  const int64_t ranks = std::max(config.dp, 1);
  const int64_t micro_batches = config.global_batch / config.micro_batch;
  if (micro_batches % ranks != 0) {
    throw core::ConfigError("global_batch / micro_batch / dp = " + N(config.global_batch) + " / " +
                            N(config.micro_batch) + " / " + N(ranks) +
                            " is not whole; choose --dp from " + Divisors(micro_batches) +
                            ", or change --global_batch or --micro_batch");
  }
}

void ValidateOptimizer(const TrainConfig& config) {
  Number("lr", config.lr, config.lr > 0, "a number above 0");
  Number("min_lr", config.min_lr, config.min_lr >= 0 && config.min_lr <= 1, "a share in [0, 1]");
  AtLeast("warmup", config.warmup, 0);
  Number("weight_decay", config.weight_decay, config.weight_decay >= 0, "a number of at least 0");
  Number("beta1", config.beta1, config.beta1 >= 0 && config.beta1 < 1,
         "a number of at least 0 and below 1");
  Number("beta2", config.beta2, config.beta2 >= 0 && config.beta2 < 1,
         "a number of at least 0 and below 1");
  Number("adam_epsilon", config.adam_epsilon, config.adam_epsilon > 0, "a number above 0");
  Number("clip", config.clip, config.clip >= 0, "a number of at least 0 (0: no clipping)");
}

}  // namespace

const char* Name(Reduction reduction) {
  return reduction == Reduction::kCanonical ? "canonical" : "fast";
}

const char* Name(OverlapMode mode) {
  switch (mode) {
    case OverlapMode::kAuto:
      return "auto";
    case OverlapMode::kOff:
      return "off";
    case OverlapMode::kOn:
      return "on";
  }
  return "unknown";
}

const char* Name(CheckpointFiles files) {
  switch (files) {
    case CheckpointFiles::kAuto:
      return "auto";
    case CheckpointFiles::kRank:
      return "rank";
    case CheckpointFiles::kNode:
      return "node";
  }
  return "unknown";
}

std::pair<int64_t, int64_t> ProfiledSteps(const std::string& text) {
  if (text.empty()) return {0, 0};
  const char* const end = text.data() + text.size();
  int64_t first = 0, last = 0;
  const auto one = std::from_chars(text.data(), end, first);
  if (one.ec == std::errc() && one.ptr != end && *one.ptr == ':') {
    const auto two = std::from_chars(one.ptr + 1, end, last);
    if (two.ec == std::errc() && two.ptr == end && first >= 1 && first <= last) {
      return {first, last};
    }
  }
  Expected("profile_steps", text, "FIRST:LAST, as 10:12");
}

void ValidateDevice(const std::string& device) {
  if (device == "auto" || device == "cpu" || device == "cuda") return;
  Expected("device", device, "auto, cpu or cuda");
}

void Validate(const TrainConfig& config) {
  Validate(config.model);
  ValidateGrid(config);
  ValidateData(config);
  ValidateBatches(config);
  ValidateOptimizer(config);
  ValidateLossRoles(config.loss_roles);
  if (config.pack != "separate" && config.pack != "concat") {
    Expected("pack", config.pack, "separate or concat");
  }
  ValidateResume(config.resume);
  if (config.run_root.empty()) Expected("run_root", "", "a directory");
  AtLeast("steps", config.steps, 1);
  AtLeast("check_replicas_every", config.check_replicas_every, 0);
  AtLeast("eval_every", config.eval_every, 0);
  AtLeast("eval_batches", config.eval_batches, 0);
  AtLeast("checkpoint_every", config.checkpoint_every, 0);
  AtLeast("local_checkpoint_every", config.local_checkpoint_every, 1);
  AtLeast("keep_checkpoints", config.keep_checkpoints, 2);
  AtLeast("keep_every", config.keep_every, 0);
}

bool Sharded(const TrainConfig& config, int dp) { return config.zero > 0 && dp > 1; }

// The save at the end needs none: nothing changes any more.
bool CopiesForCheckpoints(const TrainConfig& config) {
  return config.async_checkpoints && (config.checkpoint_every > 0 || config.eval_every > 0);
}

}  // namespace moat::configs
