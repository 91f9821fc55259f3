// The registry of flags, over gflags.
#include "configs/flag_registry.h"

#include <gflags/gflags.h>

#include <charconv>
#include <cstdlib>

#include "core/error.h"

namespace moat::configs {

void LinkFlags();  // configs/flags.cc: keeps its declarations in every program

namespace {

struct Declared {
  std::string name;
  CommandSet commands;
  bool is_list;
};

std::vector<Declared>& DeclaredFlags() {
  static auto* const flags = new std::vector<Declared>;
  return *flags;
}

// gflags writes doubles with 17 digits; the shortest text that reads back equal is for people.
std::string ShortestDouble(const std::string& text) {
  char shortest[64];
  const double value = std::strtod(text.c_str(), nullptr);
  const auto end = std::to_chars(shortest, shortest + sizeof shortest, value).ptr;
  return {shortest, end};
}

const char* Expectation(const std::string& type) {
  if (type == "bool") return "true or false";
  if (type == "double") return "a number";
  if (type == "uint64") return "a whole number of at least 0";
  return "a whole number";
}

std::vector<FlagInfo> ReadDeclarations() {
  LinkFlags();
  std::vector<FlagInfo> flags;
  for (const Declared& declared : DeclaredFlags()) {
    const gflags::CommandLineFlagInfo info =
        gflags::GetCommandLineFlagInfoOrDie(declared.name.c_str());
    FlagInfo flag{declared.name, declared.commands,  declared.is_list,
                  info.type,     info.default_value, info.description};
    if (flag.type == "double") flag.default_value = ShortestDouble(flag.default_value);
    flags.push_back(std::move(flag));
  }
  return flags;
}

}  // namespace

FlagRegistration::FlagRegistration(const char* name, CommandSet commands, bool is_list) {
  DeclaredFlags().push_back({name, commands, is_list});
}

const std::vector<FlagInfo>& Flags() {
  static const auto* const flags = new std::vector<FlagInfo>(ReadDeclarations());
  return *flags;
}

const FlagInfo* FindFlag(const std::string& name) {
  for (const FlagInfo& flag : Flags()) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

std::vector<std::string> FlagNamesOf(CommandSet commands) {
  std::vector<std::string> names;
  for (const FlagInfo& flag : Flags()) {
    if (flag.commands & commands) names.push_back(flag.name);
  }
  return names;
}

std::string CommandsOf(const FlagInfo& flag) {
  std::string text;
  for (const CommandInfo& command : Commands()) {
    if ((command.bit & flag.commands) == 0) continue;
    text += (text.empty() ? "moat " : ", moat ") + command.name;
  }
  return text;
}

std::string CanonicalValue(const FlagInfo& flag, const std::string& text) {
  if (flag.type == "string") return text;
  // gflags parses into its own variable, which keeps its default: nothing of ours reads it.
  const gflags::FlagSaver saver;
  const bool blank = text.empty() || text.find_first_of(" \t") != std::string::npos;
  if (blank || gflags::SetCommandLineOption(flag.name.c_str(), text.c_str()).empty()) {
    throw core::ConfigError("--" + flag.name + "=" + text + ": expected " + Expectation(flag.type));
  }
  if (flag.type == "double") return ShortestDouble(text);
  std::string canonical;
  gflags::GetCommandLineOption(flag.name.c_str(), &canonical);
  return canonical;
}

}  // namespace moat::configs
