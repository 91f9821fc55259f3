// The looking and measuring part of moat doctor.
#include <filesystem>

#include "core/error.h"
#include "launch/captured.h"
#include "launch/doctor.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Environment = std::map<std::string, std::string>;

constexpr double kPatience = 120;  // seconds for one run of moat-probe

// The last line that says something; mpirun frames its messages with dashes.
std::string LastLine(const std::string& text) {
  std::string last;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    if (line.find_first_not_of(" -\t\r") != std::string::npos) last = line;
    at = end + 1;
  }
  return last;
}

ProbeRun Run(const std::vector<std::string>& argv, const Environment& env) {
  ProbeRun run;
  try {
    const Captured captured = RunCaptured(argv, env, kPatience);
    if (captured.code == 0) {
      run.result = Json::parse(captured.output);
    } else if (captured.code == 124) {
      run.problem = "no answer within 120 s";
    } else {
      run.problem = LastLine(captured.errors);
      const std::string prefix = "moat: error: ";
      if (run.problem.starts_with(prefix)) run.problem.erase(0, prefix.size());
      if (run.problem.empty()) run.problem = "exit code " + std::to_string(captured.code);
    }
  } catch (const core::ConfigError& error) {
    run.problem = error.what();
  } catch (const Json::exception& error) {
    run.problem = std::string("an answer that is not JSON: ") + error.what();
  }
  return run;
}

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
    return Run({probe, "--measure=" + what, "--json", "--seconds=0.2", threads_flag,
                "--run_root=" + run_root},
               mpi.env);
  };
  found.compute = alone("gemm,memory");
  found.disk = alone("disk");
  found.cuda = alone("cuda");
  found.mpi_version = VersionOf(mpi);
  Environment env = mpi.env;
  env["OMPI_ALLOW_RUN_AS_ROOT"] = env["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1";
  found.ranks = Run({mpi.mpirun, "-np", "2", "--oversubscribe", "--bind-to", "none", probe,
                     "--measure=collectives", "--json"},
                    env);
  return found;
}

}  // namespace moat::launch
