// What a Slurm job may ask for.
#include "configs/slurm_config.h"

#include <regex>

#include "configs/bounds.h"

namespace moat::configs {
namespace {

// A value goes into one #SBATCH line, or into one word of the script.
void OneLine(const std::string& flag, const std::string& value) {
  if (value.find_first_of("\n\r") != std::string::npos) Expected(flag, value, "a single line");
}

}  // namespace

std::optional<double> SlurmSeconds(const std::string& time) {
  static const std::regex days(R"((\d{1,6})-(\d{1,6})(?::(\d{1,6}))?(?::(\d{1,6}))?)");
  static const std::regex hours(R"((\d{1,6}):(\d{1,6}):(\d{1,6}))");
  static const std::regex minutes(R"((\d{1,6})(?::(\d{1,6}))?)");
  std::smatch match;
  const auto part = [&](size_t i) { return match[i].matched ? std::stod(match[i]) : 0.0; };
  if (std::regex_match(time, match, days)) {
    return ((part(1) * 24 + part(2)) * 60 + part(3)) * 60 + part(4);
  }
  if (std::regex_match(time, match, hours)) return (part(1) * 60 + part(2)) * 60 + part(3);
  if (std::regex_match(time, match, minutes)) return part(1) * 60 + part(2);
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
