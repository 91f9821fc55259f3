// The looking and measuring part of moat doctor.
#include <filesystem>

#include "core/error.h"
#include "launch/captured.h"
#include "launch/doctor.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;
using Environment = std::map<std::string, std::string>;

std::string VersionOf(const MpiInstall& mpi) {
  try {
    const std::string text = RunCaptured({mpi.mpirun, "--version"}, mpi.env, 30).output;
    return text.substr(0, text.find('\n'));
  } catch (const core::ConfigError&) {
    return "";
  }
}

}  // namespace

Findings Examine(const fs::path& program_folder, const std::string& run_root, int threads) {
  Findings found;
  found.machine = LookAround();
  found.run_root = run_root;
  for (const char* name : {"moat-train", "moat-data", "moat-model", "moat-probe"}) {
    if (!fs::exists(program_folder / name)) found.missing_programs.push_back(name);
  }
  const MpiInstall mpi = FindMpi(program_folder);
  const std::string probe = (program_folder / "moat-probe").string();
  const std::string threads_flag = "--threads=" + std::to_string(threads);
  const auto alone = [&](const std::string& what) {
    return RunProbe({probe, "--measure=" + what, "--json", "--seconds=0.2", threads_flag,
                     "--run_root=" + run_root},
                    mpi.env);
  };
  found.compute = alone("gemm,memory");
  found.disk = alone("disk");
  found.cuda = alone("cuda");
  found.mpi_version = VersionOf(mpi);
  Environment env = mpi.env;
  env["OMPI_ALLOW_RUN_AS_ROOT"] = env["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1";
  found.ranks = RunProbe({mpi.mpirun, "-np", "2", "--oversubscribe", "--bind-to", "none", probe,
                          "--measure=collectives", "--json"},
                         env);
  return found;
}

}  // namespace moat::launch
