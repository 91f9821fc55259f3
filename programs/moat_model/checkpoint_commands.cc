// Which of the commands is meant.
#include "programs/moat_model/checkpoint_commands.h"

#include <iostream>
#include <map>

#include "core/error.h"
#include "core/nearest.h"

namespace moat::programs {

int RunCheckpointCommand(int argc, const char* const* argv) {
  using configs::CommandLine;
  const std::map<std::string, int (*)(const CommandLine&)> commands = {
      {"list", CheckpointList}, {"inspect", CheckpointInspect}, {"verify", CheckpointVerify},
      {"diff", CheckpointDiff}, {"prune", CheckpointPrune},     {"copy", CheckpointCopy}};
  const std::string name = argc > 0 ? argv[0] : "";
  const auto command = commands.find(name);
  if (command == commands.end()) {
    std::vector<std::string> names;
    std::string listed;
    for (const auto& [known, run] : commands) {
      names.push_back(known);
      listed += (listed.empty() ? "" : ", ") + known;
    }
    const std::string nearest = core::NearestName(name, names);
    throw core::ConfigError("moat checkpoint needs a command: " + listed +
                            (name.empty() ? "" : ", not \"" + name + "\"") +
                            (nearest.empty() ? "" : "; did you mean " + nearest + "?"));
  }
  const CommandLine line = CommandLine::Parse("checkpoint " + name, argc, argv);
  if (line.help_printed()) return 0;
  const int status = command->second(line);
  std::cout.flush();
  if (!std::cout) throw core::StorageError("cannot write to standard output");
  return status;
}

}  // namespace moat::programs
