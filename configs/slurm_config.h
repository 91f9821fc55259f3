// What a Slurm job asks its site for, besides nodes and ranks.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace moat::configs {

// A job's signal comes so many seconds before what --grace says: for Slurm and the script to act.
inline constexpr int kSignalMargin = 10;

struct SlurmConfig {
  std::string partition;  // here and below "": what the site gives by itself
  std::string account;
  std::string time;  // as sbatch takes it
  int gpus_per_node = 0;
  std::string gpu_request = "--gpus-per-node=GPUS";  // GPUS stands for their number
  std::vector<std::string> sbatch;                   // further options, "--constraint=ib"
  std::vector<std::string> modules;                  // loaded in this order
};

// Seconds of a time limit: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS. nullopt: none of
// these.
std::optional<double> SlurmSeconds(const std::string& time);

// `grace` as in LaunchConfig: a limit that leaves no more than that and the margin is refused.
void Validate(const SlurmConfig& config, double grace);

}  // namespace moat::configs
