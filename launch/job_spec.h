// What is to be launched: everything Render() and the supervisor need, as values.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "configs/command_line.h"
#include "configs/launch_config.h"
#include "launch/mpi_install.h"

namespace moat::launch {

struct JobSpec {
  configs::LaunchConfig config;      // in an allocation `starter` says which
  configs::CommandLine flags;        // what config was filled from; run.flags is written from it
  std::vector<std::string> hosts;    // of the allocation, that ranks are put on; empty: all
  bool smaller = false;              // than the grid that `flags` say: launch/fewer_nodes.h
  std::filesystem::path program;     // moat-train, absolute
  std::filesystem::path directory;   // that relative paths are meant from, absolute
  std::vector<std::string> command;  // as the user typed it, for the record
  MpiInstall mpi;                    // that starts the ranks
  std::map<std::string, std::string> waits;  // variables: launch/openmp_waits.h
  int cores = 1;                             // of this node
  int attempt = 0;                           // 0 for a run's first
  bool again = false;                        // by itself, after another attempt of the same launch
};

}  // namespace moat::launch
