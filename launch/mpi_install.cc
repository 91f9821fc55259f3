// Reading where the install tree's Open MPI lies.
#include "launch/mpi_install.h"

#include <fstream>

#include "core/error.h"

namespace moat::launch {

namespace fs = std::filesystem;

MpiInstall FindMpi(const fs::path& program_folder) {
  const fs::path prefix = program_folder.parent_path();
  const fs::path path = prefix / "share/moat/mpi.env";
  MpiInstall found;
  std::ifstream file(path);
  if (!file) return found;
  found.mpirun = (program_folder / "mpirun").string();
  for (std::string line; std::getline(file, line);) {
    const size_t equals = line.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw core::ConfigError(path.string() + ": expected NAME=PATH, found \"" + line +
                              "\"; install moat again");
    }
    const std::string value = line.substr(equals + 1);
    found.env[line.substr(0, equals)] = (value == "." ? prefix : prefix / value).string();
  }
  return found;
}

}  // namespace moat::launch
