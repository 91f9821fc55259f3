// The help text of a command.
#include "configs/help.h"

#include "configs/commands.h"
#include "configs/flag_registry.h"

namespace moat::configs {
namespace {

std::string Examples(const CommandInfo& command) {
  std::string text = "Examples:\n";
  for (const std::string& example : command.examples) text += "  " + example + "\n";
  return text;
}

std::string Usage(const CommandInfo& command) {
  return "Usage: moat " + command.name + " [--flag=value ...]" +
         (command.arguments.empty() ? "" : " " + command.arguments) + "\n" + command.summary + "\n";
}

std::string FlagText(const FlagInfo& flag) {
  const std::string value =
      flag.type == "string" && flag.default_value.empty() ? "''" : flag.default_value;
  std::string text = "  --" + flag.name + "=" + value;
  text += text.size() < 30 ? std::string(30 - text.size(), ' ') : "\n" + std::string(30, ' ');
  return text + flag.help + "\n";
}

std::string FlagList(const CommandInfo& command) {
  std::string text =
      "Flags, with defaults (a flag that is true or false: --name, --noname):\n"
      "  --flagfile=FILE             read flags from FILE, one a line, at this place\n";
  for (const FlagInfo& flag : Flags()) {
    if (flag.commands & command.bit) text += FlagText(flag);
  }
  return text;
}

}  // namespace

std::string HelpText(const std::string& name, HelpOrder order) {
  const CommandInfo& command = FindCommand(name);
  if (order == HelpOrder::kExamplesFirst) {
    return Examples(command) + "\n" + Usage(command) + "\n" + FlagList(command);
  }
  return Usage(command) + "\n" + Examples(command) + "\n" + FlagList(command);
}

}  // namespace moat::configs
