// The commands of moat: their names, what they take, and what their help says.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moat::configs {

// Sets of commands, as bits: every flag names the commands it belongs to.
using CommandSet = uint32_t;
inline constexpr CommandSet kTrain = 1u << 0;
inline constexpr CommandSet kEval = 1u << 1;
inline constexpr CommandSet kLaunch = 1u << 2;
inline constexpr CommandSet kGenerate = 1u << 3;
inline constexpr CommandSet kDataImport = 1u << 4;
inline constexpr CommandSet kDataStat = 1u << 5;
inline constexpr CommandSet kDataVerify = 1u << 6;
inline constexpr CommandSet kDataShow = 1u << 7;
inline constexpr CommandSet kConfig = 1u << 8;
inline constexpr CommandSet kStatus = 1u << 9;
inline constexpr CommandSet kRuns = 1u << 10;
inline constexpr CommandSet kStop = 1u << 11;
inline constexpr CommandSet kCheckpointVerify = 1u << 12;
inline constexpr CommandSet kDataSynth = 1u << 13;
inline constexpr CommandSet kDataForget = 1u << 14;
inline constexpr CommandSet kSweep = 1u << 15;
inline constexpr CommandSet kCompare = 1u << 16;
inline constexpr CommandSet kDrill = 1u << 17;
inline constexpr CommandSet kPlan = 1u << 18;
inline constexpr CommandSet kDoctor = 1u << 20;
inline constexpr CommandSet kProbe = 1u << 21;
inline constexpr CommandSet kLogs = 1u << 22;
inline constexpr CommandSet kWhy = 1u << 23;
inline constexpr CommandSet kCheckpointList = 1u << 24;
inline constexpr CommandSet kCheckpointInspect = 1u << 25;
inline constexpr CommandSet kCheckpointDiff = 1u << 26;
inline constexpr CommandSet kCheckpointPrune = 1u << 27;
inline constexpr CommandSet kCheckpointCopy = 1u << 28;
inline constexpr CommandSet kVersion = 1u << 29;

struct CommandInfo {
  CommandSet bit = 0;
  std::string name;       // "data import"
  std::string program;    // the program that runs it: "moat" (built in), "moat-data", ...
  std::string arguments;  // what follows the flags: "DIR", "[NAME]", ""
  int min_arguments = 0;
  int max_arguments = 0;
  std::string summary;  // one sentence
  std::vector<std::string> examples;
};

const std::vector<CommandInfo>& Commands();

// Throws BugError for a name that is not in the table: programs ask for their own commands only.
const CommandInfo& FindCommand(const std::string& name);

}  // namespace moat::configs
