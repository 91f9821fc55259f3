// The strict parser of command lines.
#include "configs/command_line.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "configs/commands.h"
#include "configs/help.h"
#include "core/comma_list.h"
#include "core/error.h"
#include "core/nearest.h"

namespace moat::configs {
namespace {

const char kCommandLine[] = "command line";

[[noreturn]] void Refuse(const FlagLine& line, const std::string& what) {
  throw core::ConfigError(Place(line.origin) + what);
}

// The reason why `name` is not a flag of `command`.
std::string WhyUnknown(const std::string& name, const CommandInfo& command) {
  for (const char* refused : {"fromenv", "tryfromenv", "undefok", "version"}) {
    if (name == refused)
      return "--" + name + " is not offered: flags come from where they are read";
  }
  if (const FlagInfo* other = FindFlag(name)) {
    return "--" + name + " belongs to " + CommandsOf(*other) + "; moat " + command.name +
           " has no such flag";
  }
  std::vector<std::string> known = FlagNamesOf(command.bit);
  known.push_back("flagfile");
  known.push_back("help");
  const std::string nearest = core::NearestName(name, known);
  return "unknown flag --" + name +
         (nearest.empty() ? "; moat " + command.name + " --help lists them"
                          : "; did you mean --" + nearest + "?");
}

// Whether a line of a flagfile reads back as this value.
bool FitsALine(const std::string& value) {
  return value.find_first_of("\n\r") == std::string::npos &&
         value.find(" #") == std::string::npos &&
         (value.empty() || (value.back() != ' ' && value.back() != '\t'));
}

}  // namespace

CommandLine CommandLine::Parse(const std::string& command, int argc, const char* const* argv) {
  return Parse(command, std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
}

CommandLine CommandLine::Parse(const std::string& command,
                               const std::vector<std::string>& arguments) {
  CommandLine line;
  line.command_ = command;
  for (const std::string& argument : arguments) {
    if (argument == "--") break;
    const bool examples_first = argument == "-h";
    if (!examples_first && argument != "--help") continue;
    const std::string help =
        HelpText(command, examples_first ? HelpOrder::kExamplesFirst : HelpOrder::kFlagsFirst);
    std::fputs(help.c_str(), stdout);
    line.help_printed_ = true;
    return line;
  }
  line.ParseArguments(arguments);
  line.TakeRun();
  line.CheckPositional();
  return line;
}

void CommandLine::ParseArguments(const std::vector<std::string>& arguments) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--") {
      positional_.insert(positional_.end(), arguments.begin() + static_cast<long>(i) + 1,
                         arguments.end());
      return;
    }
    if (argument.size() < 2 || argument[0] != '-') {
      positional_.push_back(argument);
      continue;
    }
    if (argument[1] != '-') {
      throw core::ConfigError("\"" + argument + "\": flags have two dashes: -" + argument);
    }
    if (argument == "--flagfile") throw core::ConfigError("write --flagfile=FILE");
    if (argument.starts_with("--flagfile=")) {
      for (const FlagLine& line : ReadFlagfile(argument.substr(11), kCommandLine)) Apply(line, "");
      continue;
    }
    Apply({argument, kCommandLine, kCommandLine}, i + 1 < arguments.size() ? arguments[i + 1] : "");
  }
}

void CommandLine::Apply(const FlagLine& line, const std::string& next) {
  const CommandInfo& command = FindCommand(command_);
  const std::string body = line.text.substr(2);
  const size_t equals = body.find('=');
  const std::string name = body.substr(0, equals);
  const auto mine = [&](const std::string& flag_name) -> const FlagInfo* {
    const FlagInfo* flag = FindFlag(flag_name);
    return flag != nullptr && (flag->commands & command.bit) ? flag : nullptr;
  };
  if (const FlagInfo* flag = mine(name)) {
    if (equals != std::string::npos) {
      Assign(*flag, body.substr(equals + 1), line);
    } else if (flag->type == "bool") {
      Assign(*flag, "true", line);
    } else {
      const bool has_value = !next.empty() && next[0] != '-';
      Refuse(line,
             "--" + name + " needs a value: write --" + name + "=" + (has_value ? next : "VALUE"));
    }
    return;
  }
  if (name.starts_with("no") && equals == std::string::npos) {
    const FlagInfo* flag = mine(name.substr(2));
    if (flag != nullptr && flag->type == "bool") return Assign(*flag, "false", line);
    if (flag != nullptr) Refuse(line, "--" + name + ": --" + flag->name + " is not true or false");
  }
  const size_t space = name.find_first_of(" \t");
  if (const FlagInfo* flag = mine(name.substr(0, space)); flag != nullptr) {
    Refuse(line, "write --" + flag->name + "=" + name.substr(name.find_first_not_of(" \t", space)));
  }
  Refuse(line, WhyUnknown(name, command));
}

void CommandLine::Assign(const FlagInfo& flag, const std::string& value, const FlagLine& line) {
  std::string canonical;
  try {
    canonical = CanonicalValue(flag, value);
  } catch (const core::ConfigError& error) {
    Refuse(line, error.what());
  }
  Value& stored = given_[flag.name];
  if (!flag.is_list || stored.source != line.source) {
    stored.values.clear();
    for (FlagSetting& earlier : stored.settings) earlier.counts = false;
  }
  stored.values.push_back(canonical);
  stored.settings.push_back({canonical, line.origin, true});
  stored.source = line.source;
  stored.origin = line.origin;
}

void CommandLine::TakeRun() {
  if (!given("run") || FindCommand(command_).max_arguments != 1) return;
  if (!positional_.empty()) {
    throw core::ConfigError("--run=" + value("run") + " and \"" + positional_.front() +
                            "\": name one");
  }
  positional_.push_back(value("run"));
}

void CommandLine::CheckPositional() const {
  const CommandInfo& command = FindCommand(command_);
  const int count = static_cast<int>(positional_.size());
  if (count > command.max_arguments) {
    throw core::ConfigError(
        "unexpected \"" + positional_[static_cast<size_t>(command.max_arguments)] + "\": moat " +
        command.name + " takes " +
        (command.arguments.empty() ? "flags only, as --name=value" : command.arguments + " once"));
  }
  if (count < command.min_arguments) {
    throw core::ConfigError("moat " + command.name + " needs " + command.arguments +
                            ", for example: " + command.examples.front());
  }
}

bool CommandLine::given(const std::string& flag) const { return given_.count(flag) != 0; }

std::vector<std::string> CommandLine::values(const std::string& name) const {
  const FlagInfo* flag = FindFlag(name);
  MOAT_CHECK(flag != nullptr && (flag->commands & FindCommand(command_).bit),
             "--" + name + " is not a flag of " + command_);
  const auto found = given_.find(name);
  if (found != given_.end()) return found->second.values;
  if (flag->is_list && flag->default_value.empty()) return {};
  return {flag->default_value};
}

std::string CommandLine::value(const std::string& flag) const {
  return core::JoinWithCommas(values(flag));
}

std::string CommandLine::origin(const std::string& flag) const {
  const auto found = given_.find(flag);
  return found == given_.end() ? "default" : found->second.origin;
}

std::vector<FlagSetting> CommandLine::settings(const std::string& name) const {
  const bool is_given = !values(name).empty() && given(name);
  std::vector<FlagSetting> settings = {{FindFlag(name)->default_value, "default", !is_given}};
  if (!is_given) return settings;
  const auto& all = given_.at(name).settings;
  settings.insert(settings.end(), all.begin(), all.end());
  return settings;
}

bool CommandLine::Bool(const std::string& flag) const { return value(flag) == "true"; }

int64_t CommandLine::Int(const std::string& flag) const {
  return std::strtoll(value(flag).c_str(), nullptr, 10);
}

double CommandLine::Double(const std::string& flag) const {
  return std::strtod(value(flag).c_str(), nullptr);
}

std::string CommandLine::ResolvedFlags(const std::string& for_command) const {
  const CommandSet wanted = FindCommand(command_).bit;
  const CommandSet also = for_command.empty() ? wanted : FindCommand(for_command).bit;
  std::string text;
  for (const FlagInfo& flag : Flags()) {
    if (!(flag.commands & wanted) || !(flag.commands & also)) continue;
    for (const std::string& one : values(flag.name)) {
      if (!FitsALine(one)) {
        throw core::ConfigError("--" + flag.name + "=" + one +
                                ": a flagfile cannot hold a value with a line break, a blank at "
                                "its end or \" #\"; choose another");
      }
      text += "--" + flag.name + "=" + one + "\n";
    }
  }
  return text;
}

}  // namespace moat::configs
