// moat-model: what a finished model or checkpoint is asked. Started as `moat generate`, `moat eval`
// or `moat checkpoint ...`.
#include <string>

#include "configs/command_line.h"
#include "core/error.h"
#include "core/logging.h"
#include "programs/moat_model/checkpoint_commands.h"
#include "programs/moat_model/evaluate.h"
#include "programs/moat_model/generate.h"

namespace moat::programs {
namespace {

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
  if (name == "checkpoint") return RunCheckpointCommand(argc - 2, argv + 2);
  throw core::ConfigError("moat-model needs a command: generate, eval, or checkpoint");
}

}  // namespace
}  // namespace moat::programs

int main(int argc, char** argv) {
  moat::core::StartLogging("moat-model");
  return moat::core::RunMain([&] { return moat::programs::Main(argc, argv); });
}
