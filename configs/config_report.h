// What `moat config` says about flags: where a value came from, and how two configurations differ.
#pragma once

#include <string>
#include <vector>

#include "configs/command_line.h"

namespace moat::configs {

// A flagfile or a run as flags of `moat launch`: each word a file, a run of `run_root` (its
// run.flags), a run's directory, or a flag; later ones win. Throws ConfigError for a word that is
// none of them, and for what the files hold.
CommandLine ConfigOf(const std::vector<std::string>& words, const std::string& run_root);

// Value, origin and what it overrode, of one flag (with or without its dashes). Throws ConfigError,
// with the nearest name, where there is no such flag.
std::string ExplainText(const CommandLine& line, const std::string& flag);
std::string ExplainJson(const CommandLine& line, const std::string& flag);

struct FlagDifference {
  std::string flag;
  std::string value_a, origin_a;
  std::string value_b, origin_b;
};

// Of the flags of training, in order of declaration.
std::vector<FlagDifference> Differences(const CommandLine& a, const CommandLine& b);
std::string ToText(const std::vector<FlagDifference>& differences);
std::string ToJson(const std::vector<FlagDifference>& differences);  // an array

}  // namespace moat::configs
