// Which Open MPI starts the ranks: the system's, or the one that moat was installed with.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace moat::launch {

struct MpiInstall {
  std::string mpirun = "mpirun";           // looked up in PATH, unless it is a path
  std::map<std::string, std::string> env;  // that mpirun and the ranks need
};

// An install tree says in share/moat/mpi.env where its own Open MPI lies: lines NAME=PATH, relative
// to the tree, so that it may be moved. `program_folder` is the tree's bin/. Without that file it
// is the system's. Throws ConfigError for a line that is none.
MpiInstall FindMpi(const std::filesystem::path& program_folder);

}  // namespace moat::launch
