// What a launch may be.
#include "configs/launch_config.h"

#include <re2/re2.h>

#include "configs/bounds.h"

namespace moat::configs {

const char* Name(LaunchOn on) {
  switch (on) {
    case LaunchOn::kLocal:
      return "local";
    case LaunchOn::kSlurm:
      return "slurm";
    case LaunchOn::kAllocation:
      return "allocation";
  }
  return "unknown";
}

const char* Name(Starter starter) {
  switch (starter) {
    case Starter::kAuto:
      return "auto";
    case Starter::kMpirun:
      return "mpirun";
    case Starter::kSrun:
      return "srun";
  }
  return "unknown";
}

const char* Name(Binding binding) {
  switch (binding) {
    case Binding::kNone:
      return "none";
    case Binding::kCore:
      return "core";
    case Binding::kNuma:
      return "numa";
    case Binding::kSocket:
      return "socket";
  }
  return "unknown";
}

std::map<std::string, std::string> ParseEnv(const std::vector<std::string>& settings) {
  std::map<std::string, std::string> env;
  for (const std::string& setting : settings) {
    const size_t equals = setting.find('=');
    if (equals == std::string::npos ||
        !RE2::FullMatch(setting.substr(0, equals), "[A-Za-z_][A-Za-z0-9_]*")) {
      Expected("env", setting, "NAME=VALUE");
    }
    const std::string key = setting.substr(0, equals);
    if (key == "OMP_NUM_THREADS" || key.starts_with("MOAT_")) {
      Expected("env", setting, "a name that moat does not set itself; --threads sets threads");
    }
    env[key] = setting.substr(equals + 1);
  }
  return env;
}

void Validate(const LaunchConfig& config) {
  Validate(config.train);
  AtLeast("restarts", config.restarts, 0);
  Number("grace", config.grace, config.grace > 0, "seconds above 0");
  Number("hang_timeout", config.hang_timeout, config.hang_timeout >= 0, "seconds, or 0");
  AtLeast("nodes", config.nodes, 1);
  AtLeast("min_nodes", config.min_nodes, 0);
  if (config.min_nodes > config.nodes) {
    Expected("min_nodes", std::to_string(config.min_nodes),
             "at most --nodes=" + std::to_string(config.nodes));
  }
  AtLeast("ranks_per_node", config.ranks_per_node, 0);
  AtLeast("legs", config.legs, 0);
  if (!config.emit.empty() && config.emit != "mpijob") Expected("emit", config.emit, "mpijob");
  const bool here = config.on == LaunchOn::kLocal && config.emit.empty();
  if (here && config.nodes > 1 && config.hostfile.empty()) {
    Expected("nodes", std::to_string(config.nodes),
             "1 with --on=local, which is this machine; --hostfile=FILE names others, --on=slurm "
             "submits a job");
  }
  if (config.on != LaunchOn::kLocal && !config.hostfile.empty()) {
    Expected(
        "hostfile", config.hostfile,
        "none with --on=" + std::string(Name(config.on)) + ": the scheduler chooses the nodes");
  }
  if (config.on == LaunchOn::kLocal && config.starter == Starter::kSrun) {
    Expected("starter", "srun", "auto or mpirun with --on=local");
  }
  if (config.on != LaunchOn::kSlurm && config.parsable) {
    throw core::ConfigError("--parsable prints the number of a job: it goes with --on=slurm");
  }
  if (config.on != LaunchOn::kLocal) Validate(config.slurm, config.grace);
}

}  // namespace moat::configs
