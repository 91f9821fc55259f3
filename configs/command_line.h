// The command line of every command: declared flags, the strict flagfile reader, help.
//
//   const auto line = configs::CommandLine::Parse("train", argc, argv);   // throws ConfigError
//   if (line.help_printed()) return 0;
//   const configs::TrainConfig config = configs::TrainConfigFromFlags(line);
//
// Every flag is declared once, in configs/flags.cc, with the commands it belongs to. Forms:
// --name=value, --bool, --nobool. A value after a space is refused with the right form. For most
// flags the last value wins; repeated list flags (--in) collect within one source (a flagfile, the
// command line), and a later source replaces an earlier one's list. --flagfile=FILE reads more
// lines of the same form at its place ('#' comments and blank lines allowed, nesting allowed,
// relative to the current directory); mistakes in it are reported as FILE:LINE with the nearest
// known name. Where a run is what a command takes behind its flags (moat status mine), --run=mine
// says the same, and stands in positional(). gflags' own --fromenv, --tryfromenv, --undefok,
// --version are refused.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "configs/eval_config.h"
#include "configs/flag_registry.h"
#include "configs/flagfile.h"
#include "configs/generate_config.h"
#include "configs/import_config.h"
#include "configs/launch_config.h"
#include "configs/plan_config.h"
#include "configs/probe_config.h"
#include "configs/synth_config.h"
#include "configs/train_config.h"

namespace moat::configs {

// One time that a flag was set.
struct FlagSetting {
  std::string value;
  std::string origin;   // as CommandLine::origin()
  bool counts = false;  // it is (an item of) the resolved value
};

class CommandLine {
 public:
  // `command` as in "train", "data import", "launch", "generate", "config". argv[0] is skipped;
  // argv holds what follows the command's words. With --help or -h prints the command's help to
  // stdout (-h: examples first) and help_printed() is true.
  static CommandLine Parse(const std::string& command, int argc, const char* const* argv);
  // The same for arguments that are already words.
  static CommandLine Parse(const std::string& command, const std::vector<std::string>& arguments);

  const std::string& command() const { return command_; }
  bool help_printed() const { return help_printed_; }
  const std::vector<std::string>& positional() const { return positional_; }

  // REQUIRES, here and below: `flag` belongs to the command (else BugError).
  bool given(const std::string& flag) const;         // set on the command line or in a flagfile
  std::string value(const std::string& flag) const;  // resolved text; a list joined with commas
  std::vector<std::string> values(const std::string& flag) const;  // of a list flag
  // "default", "command line", "configs/coffee.flags:12"
  std::string origin(const std::string& flag) const;
  // Its default and all that set it, in order. A list's items one by one.
  std::vector<FlagSetting> settings(const std::string& flag) const;
  bool Bool(const std::string& flag) const;
  int64_t Int(const std::string& flag) const;
  double Double(const std::string& flag) const;

  // The flags of the command that `for_command` ("": this one) has too, with their resolved values,
  // one --name=value a line, reloadable through --flagfile. Throws ConfigError for a value that a
  // line cannot hold.
  std::string ResolvedFlags(const std::string& for_command = "") const;

 private:
  struct Value {
    std::vector<std::string> values;
    std::string source;
    std::string origin;
    std::vector<FlagSetting> settings;
  };
  void ParseArguments(const std::vector<std::string>& arguments);
  // `next` is the argument behind it, or "": for the message about a value after a space.
  void Apply(const FlagLine& line, const std::string& next);
  void Assign(const FlagInfo& flag, const std::string& value, const FlagLine& line);
  void TakeRun();
  void CheckPositional() const;

  std::string command_;
  bool help_printed_ = false;
  std::vector<std::string> positional_;
  std::map<std::string, Value> given_;
};

// The flags of a command, in order of declaration.
std::vector<FlagInfo> FlagsOf(const std::string& command);

// One JSON object: for every flag of the command {"value": text, "origin": where it came from}, and
// of a list "values", since "value" joins them with commas.
std::string ResolvedJson(const CommandLine& line);

// Validated. A message about a value that a flagfile gave says its FILE:LINE. Complete: --run and
// --data must be given (kAnyRun: not; to check a preset).
enum class Completeness { kComplete, kAnyRun };
TrainConfig TrainConfigFromFlags(const CommandLine& line,
                                 Completeness completeness = Completeness::kComplete);
LaunchConfig LaunchConfigFromFlags(const CommandLine& line);
PlanConfig PlanConfigFromFlags(const CommandLine& line);  // --run and --data may be missing
ImportConfig ImportConfigFromFlags(const CommandLine& line);
SynthConfig SynthConfigFromFlags(const CommandLine& line);
EvalConfig EvalConfigFromFlags(const CommandLine& line);
GenerateConfig GenerateConfigFromFlags(const CommandLine& line);
ProbeConfig ProbeConfigFromFlags(const CommandLine& line);

}  // namespace moat::configs
