// moat-model: what a finished model or checkpoint is asked. Started as `moat generate`, `moat eval`
// or `moat checkpoint verify`.
#include <iostream>
#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "configs/command_line.h"
#include "core/error.h"
#include "core/logging.h"
#include "programs/moat_model/evaluate.h"
#include "programs/moat_model/generate.h"

namespace moat::programs {
namespace {

int VerifyCheckpoint(const configs::CommandLine& line) {
  const std::string& directory = line.positional()[0];
  checkpoint::Verify(directory);
  const checkpoint::Manifest manifest = checkpoint::ReadManifest(directory);
  if (line.Bool("json")) {
    std::cout << nlohmann::json{{"ok", true},
                                {"step", manifest.position.step},
                                {"tensors", manifest.tensors.size()},
                                {"files", manifest.files.size()}}
              << "\n";
  } else {
    std::cout << directory << " is intact: step " << manifest.position.step << ", "
              << manifest.tensors.size() << " tensors in " << manifest.files.size() << " files\n";
  }
  return 0;
}

int Main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  if (name == "generate") {
    const auto line = configs::CommandLine::Parse("generate", argc - 1, argv + 1);
    return line.help_printed() ? 0 : Generate(configs::GenerateConfigFromFlags(line));
  }
  if (name == "eval") {
    const auto line = configs::CommandLine::Parse("eval", argc - 1, argv + 1);
    return line.help_printed() ? 0 : Evaluate(configs::EvalConfigFromFlags(line));
  }
  if (name == "checkpoint" && argc > 2 && std::string(argv[2]) == "verify") {
    const auto line = configs::CommandLine::Parse("checkpoint verify", argc - 2, argv + 2);
    return line.help_printed() ? 0 : VerifyCheckpoint(line);
  }
  throw core::ConfigError("moat-model needs a command: generate, eval, or checkpoint verify");
}

}  // namespace
}  // namespace moat::programs

int main(int argc, char** argv) {
  moat::core::StartLogging("moat-model");
  return moat::core::RunMain([&] { return moat::programs::Main(argc, argv); });
}
