// Asking moat-probe.
#include "tests/bench/probe.h"

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "core/error.h"

namespace moat::bench {

double ProbeGemmRate(core::DType dtype, int threads) {
  const auto probe = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "moat-probe";
  // Without the environment: a rank's would make it wait for other ranks.
  const std::string command = "env -i \"" + probe.string() +
                              "\" --json --measure=gemm --threads=" + std::to_string(threads);
  std::string text;
  std::FILE* pipe = popen(command.c_str(), "r");
  for (char part[4096]; pipe && std::fgets(part, sizeof part, pipe);) text += part;
  if (!pipe || pclose(pipe) != 0) {
    throw core::Error(core::ExitCode::kNode, "moat-probe failed: " + command);
  }
  const auto rates = nlohmann::json::parse(text)["ranks"][0]["gemm"][core::Name(dtype)];
  if (!rates["problem"].get<std::string>().empty()) {
    throw core::Error(core::ExitCode::kNode, rates["problem"].get<std::string>());
  }
  return 1e9 * rates["whole_gflops"].get<double>();
}

}  // namespace moat::bench
