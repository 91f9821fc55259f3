// What a Slurm job may ask for.
#include "configs/slurm_config.h"

#include <re2/re2.h>

#include <array>
#include <string>

#include "configs/bounds.h"

namespace moat::configs {
namespace {

// A value goes into one #SBATCH line, or into one word of the script.
void OneLine(const std::string& flag, const std::string& value) {
  if (value.find_first_of("\n\r") != std::string::npos) Expected(flag, value, "a single line");
}

}  // namespace

std::optional<double> SlurmSeconds(const std::string& time) {
  std::array<std::string, 4> part;  // of one that is not there: ""
  const auto is = [&](const char* form) {
    part = {};
    return RE2::FullMatch(time, form, &part[0], &part[1], &part[2], &part[3]);
  };
  const auto number = [&](size_t i) { return part[i].empty() ? 0.0 : std::stod(part[i]); };
  if (is(R"((\d{1,6})-(\d{1,6})(?::(\d{1,6}))?(?::(\d{1,6}))?)")) {
    return ((number(0) * 24 + number(1)) * 60 + number(2)) * 60 + number(3);
  }
  if (is(R"((\d{1,6}):(\d{1,6}):(\d{1,6})())")) {
    return (number(0) * 60 + number(1)) * 60 + number(2);
  }
  if (is(R"((\d{1,6})(?::(\d{1,6}))?()())")) return number(0) * 60 + number(1);
  return std::nullopt;
}

void Validate(const SlurmConfig& config, double grace) {
  OneLine("partition", config.partition);
  OneLine("account", config.account);
  if (!config.time.empty()) {
    const std::optional<double> seconds = SlurmSeconds(config.time);
    if (!seconds) {
      Expected("time", config.time, "minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS");
    }
    if (*seconds <= grace + kSignalMargin) {
      Expected("time", config.time,
               "more than --grace=" + std::to_string(static_cast<int>(grace)) + " and " +
                   std::to_string(kSignalMargin) +
                   " seconds, which a run gets to save before its limit");
    }
  }
  AtLeast("gpus_per_node", config.gpus_per_node, 0);
  OneLine("gpu_request", config.gpu_request);
  if (!config.gpu_request.starts_with("--") ||
      config.gpu_request.find("GPUS") == std::string::npos) {
    Expected("gpu_request", config.gpu_request,
             "an option of sbatch with GPUS where their number stands, as --gres=gpu:GPUS");
  }
  for (const std::string& line : config.sbatch) {
    OneLine("sbatch", line);
    if (!line.starts_with("-")) Expected("sbatch", line, "an option of sbatch, as --constraint=ib");
  }
  for (const std::string& module : config.modules) {
    OneLine("modules", module);
    if (module.starts_with("-")) Expected("modules", module, "names of modules");
  }
}

}  // namespace moat::configs
