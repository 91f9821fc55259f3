// The command line of every command: declared flags, the strict flagfile reader, help.
//
//   const auto line = configs::CommandLine::Parse("train", argc, argv);   // throws ConfigError:
//   exit code 2 if (line.help_printed()) return 0; const configs::TrainConfig config =
//   configs::TrainConfigFromFlags(line);
//
// Every flag is declared once, in configs/flags.cc, with the commands it belongs to. Forms:
// --name=value, --bool, --nobool. A value after a space is refused with the right form. Repeated
// list flags (--in) collect; for others the last wins. --flagfile=FILE reads more lines of the same
// form at its place ('#' comments and blank lines allowed, nesting allowed, relative to the current
// directory); mistakes in it are reported as FILE:LINE with the nearest known name. gflags' own
// --fromenv, --tryfromenv, --undefok, --version are refused.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "configs/generate_config.h"
#include "configs/import_config.h"
#include "configs/launch_config.h"
#include "configs/train_config.h"

namespace moat::configs {

class CommandLine {
 public:
  // `command` as in "train", "data import", "launch", "generate", "config". argv[0] is skipped;
  // argv holds what follows the command's words. With --help or -h prints the command's help to
  // stdout (-h: examples first) and help_printed() is true.
  static CommandLine Parse(const std::string& command, int argc, const char* const* argv);

  bool help_printed() const { return help_printed_; }
  const std::vector<std::string>& positional() const { return positional_; }
  bool given(const std::string& flag) const;         // set on the command line or in a flagfile
  std::string value(const std::string& flag) const;  // resolved text
  std::string origin(
      const std::string& flag) const;  // "default", "command line", "configs/coffee.flags:12"
  // All of the command's flags with their resolved values, one --name=value a line, reloadable
  // through --flagfile.
  std::string ResolvedFlags() const;

 private:
  struct Value {
    std::vector<std::string> values;
    std::string origin;
  };
  std::string command_;
  bool help_printed_ = false;
  std::vector<std::string> positional_;
  std::map<std::string, Value> given_;
};

TrainConfig TrainConfigFromFlags(const CommandLine& line);        // validated
LaunchConfig LaunchConfigFromFlags(const CommandLine& line);      // validated
ImportConfig ImportConfigFromFlags(const CommandLine& line);      // validated
GenerateConfig GenerateConfigFromFlags(const CommandLine& line);  // validated

}  // namespace moat::configs
