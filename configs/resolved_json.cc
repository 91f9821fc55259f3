// Resolved flags as JSON.
#include <nlohmann/json.hpp>

#include "configs/command_line.h"

namespace moat::configs {

std::vector<FlagInfo> FlagsOf(const std::string& command) {
  std::vector<FlagInfo> flags;
  for (const FlagInfo& flag : Flags()) {
    if (flag.commands & FindCommand(command).bit) flags.push_back(flag);
  }
  return flags;
}

std::string ResolvedJson(const CommandLine& line) {
  nlohmann::ordered_json json;
  for (const FlagInfo& flag : FlagsOf(line.command())) {
    json[flag.name] = {{"value", line.value(flag.name)}, {"origin", line.origin(flag.name)}};
    if (flag.is_list) json[flag.name]["values"] = line.values(flag.name);
  }
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace moat::configs
