// What `moat launch` does besides the run it starts.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "configs/slurm_config.h"
#include "configs/train_config.h"

namespace moat::configs {

enum class LaunchOn {
  kLocal,       // this machine, or the hosts of a hostfile
  kSlurm,       // a job that is submitted
  kAllocation,  // the job that this process runs in: what the script of kSlurm starts
};
const char* Name(LaunchOn on);

enum class Starter { kAuto, kMpirun, kSrun };  // of the ranks; kAuto tries which works
const char* Name(Starter starter);

enum class Binding { kNone, kCore, kNuma, kSocket };  // what a rank is kept to
const char* Name(Binding binding);

struct LaunchConfig {
  TrainConfig train;
  LaunchOn on = LaunchOn::kLocal;
  std::string emit;  // "mpijob": print that manifest instead of starting anything
  bool dry_run = false;
  bool json = false;
  bool parsable = false;    // print the job's number only
  bool wait = false;        // until a submitted run has ended (others are waited for anyhow)
  int restarts = 10;        // new attempts that a lost peer or failed storage is answered with
  double grace = 60;        // seconds a run gets to save after a signal, before it is killed
  double hang_timeout = 0;  // seconds a rank may stay in one phase; 0: learned from its phases

  bool preflight = false;  // measure the nodes first (launch/preflight.h)
  std::string on_event;    // a shell command told of every change of state (launch/event_hook.h)

  int nodes = 1;
  int min_nodes = 0;       // that a run goes on with when others are lost; 0: all
  int legs = 0;            // scheduler jobs the run may take; 0: as many as it needs
  int ranks_per_node = 0;  // 0: what the grid leaves (launch/placement.h)
  Starter starter = Starter::kAuto;
  Binding bind = Binding::kNone;
  std::string hostfile;                    // of mpirun, for kLocal; "": this machine
  std::map<std::string, std::string> env;  // added to that of every rank
  std::string container;                   // Apptainer image that ranks run in; "": none
  std::vector<std::string> container_options;
  SlurmConfig slurm;
};

// NAME=VALUE, one each. Throws ConfigError for one that is not.
std::map<std::string, std::string> ParseEnv(const std::vector<std::string>& settings);

void Validate(const LaunchConfig& config);

}  // namespace moat::configs
