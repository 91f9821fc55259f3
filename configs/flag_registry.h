// Which flags there are: name, type, default, help, and the commands each belongs to.
//
// The flags themselves are declared in configs/flags.cc through gflags, which knows their types,
// defaults and texts; this registry adds the commands and keeps the order of declaration for help.
#pragma once

#include <string>
#include <vector>

#include "configs/commands.h"

namespace moat::configs {

struct FlagInfo {
  std::string name;
  CommandSet commands = 0;
  bool is_list = false;  // may be repeated, the values collect
  std::string type;      // gflags' name: bool, int32, int64, uint64, double, string
  std::string default_value;
  std::string help;
};

// In order of declaration.
const std::vector<FlagInfo>& Flags();

// nullptr when there is no such flag.
const FlagInfo* FindFlag(const std::string& name);

std::vector<std::string> FlagNamesOf(CommandSet commands);

// "moat launch, moat train": the commands that have the flag.
std::string CommandsOf(const FlagInfo& flag);

// The value in its one written form ("true", "0.1", "17"). Throws ConfigError ("--tp=two: expected
// a whole number") when `text` is not of the flag's type.
std::string CanonicalValue(const FlagInfo& flag, const std::string& text);

// Called by the declarations in configs/flags.cc before main starts.
struct FlagRegistration {
  FlagRegistration(const char* name, CommandSet commands, bool is_list);
};

}  // namespace moat::configs
