// moat: the front door. Light commands are built in, the others are programs beside it.
#include <algorithm>
#include <cstdio>
#include <map>

#include "configs/commands.h"
#include "core/error.h"
#include "core/logging.h"
#include "core/nearest.h"
#include "launch/openmp_waits.h"
#include "programs/moat/builtin.h"
#include "programs/moat/siblings.h"

namespace moat::programs {
namespace {

using Words = std::vector<std::string>;

// "data import" of {"data", "import", "--in=x"}: the longest command the words start with.
const configs::CommandInfo* CommandOf(const Words& words) {
  const configs::CommandInfo* found = nullptr;
  const std::string two = words.size() > 1 ? words[0] + " " + words[1] : words[0];
  for (const configs::CommandInfo& command : configs::Commands()) {
    if (command.name == two) return &command;
    if (command.name == words[0]) found = &command;
  }
  return found;
}

[[noreturn]] void RefuseUnknown(const Words& words) {
  std::vector<std::string> names = {"help"}, second;
  std::string family;
  for (const configs::CommandInfo& command : configs::Commands()) {
    names.push_back(command.name);
    if (!command.name.starts_with(words[0] + " ")) continue;
    family += " moat " + command.name + ",";
    second.push_back(command.name.substr(words[0].size() + 1));
  }
  if (!family.empty()) {
    family.pop_back();
    const std::string nearest = core::NearestName(words.size() > 1 ? words[1] : "", second);
    throw core::ConfigError(
        "moat " + words[0] + " needs its second word:" + family +
        (nearest.empty() ? "" : "; did you mean moat " + words[0] + " " + nearest + "?"));
  }
  const std::string two = words.size() > 1 ? words[0] + " " + words[1] : words[0];
  std::string nearest = core::NearestName(words[0], names);
  if (nearest.empty()) nearest = core::NearestName(two, names);
  throw core::ConfigError("unknown command \"" + words[0] + "\"" +
                          (nearest.empty() ? "; moat help lists the commands"
                                           : "; did you mean moat " + nearest + "?"));
}

int RunCommand(const configs::CommandInfo& command, const Words& words) {
  if (command.program != "moat") BecomeSibling(command.program, words);
  const long taken = 1 + std::count(command.name.begin(), command.name.end(), ' ');
  const Words arguments(words.begin() + taken, words.end());
  if (command.bit == configs::kLaunch) return Launch(arguments, words);
  if (command.bit == configs::kSweep) return Sweep(arguments, words);
  const std::map<configs::CommandSet, int (*)(const Words&)> builtin = {
      {configs::kConfig, Config}, {configs::kStatus, Status},   {configs::kRuns, Runs},
      {configs::kLogs, Logs},     {configs::kWhy, Why},         {configs::kStop, Stop},
      {configs::kDoctor, Doctor}, {configs::kCompare, Compare}, {configs::kDrill, Drill},
      {configs::kPlan, Plan},     {configs::kVersion, Version}};
  return builtin.at(command.bit)(arguments);
}

int Main(Words words) {
  const bool help =
      !words.empty() && (words[0] == "help" || words[0] == "--help" || words[0] == "-h");
  if (words.empty() || (help && words.size() == 1)) {
    PrintCommands();
    return 0;
  }
  if (help) {
    words.erase(words.begin());
    words.push_back("--help");
  }
  if (words[0] == "--version") words[0] = "version";
  if (words[0] == "watch-node") return WatchNode(Words(words.begin() + 1, words.end()));
  const configs::CommandInfo* command = CommandOf(words);
  const bool family = words.size() == 2 && (words[1] == "--help" || words[1] == "-h");
  if (command == nullptr && family && PrintFamily(words[0])) return 0;
  if (command == nullptr) RefuseUnknown(words);
  return RunCommand(*command, words);
}

}  // namespace
}  // namespace moat::programs

int main(int argc, char** argv) {
  moat::core::StartLogging(argv[0]);
  moat::launch::SetOpenMpWaits();
  return moat::core::RunMain(
      [&] { return moat::programs::Main(std::vector<std::string>(argv + 1, argv + argc)); });
}
