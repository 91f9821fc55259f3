// A program's commands by name: "moat data import", "moat checkpoint verify".
#pragma once

#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "configs/command_line.h"
#include "core/error.h"
#include "core/nearest.h"

namespace moat::programs {

using Subcommands = std::map<std::string, int (*)(const configs::CommandLine&)>;

// Runs the one that argv[0] names, with what follows it, and returns its exit code. `family`:
// "data", "checkpoint". Throws ConfigError for a word that names none, StorageError where standard
// output cannot be written.
inline int RunSubcommand(const std::string& family, const Subcommands& commands, int argc,
                         const char* const* argv) {
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
    throw core::ConfigError("moat " + family + " needs a command: " + listed +
                            (name.empty() ? "" : ", not \"" + name + "\"") +
                            (nearest.empty() ? "" : "; did you mean " + nearest + "?"));
  }
  const auto line = configs::CommandLine::Parse(family + " " + name, argc, argv);
  if (line.help_printed()) return 0;
  const int status = command->second(line);
  std::cout.flush();
  if (!std::cout) throw core::StorageError("cannot write to standard output");
  return status;
}

}  // namespace moat::programs
