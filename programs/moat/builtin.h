// The commands that moat runs itself.
#pragma once

#include <string>
#include <vector>

namespace moat::programs {

// `words`: all that followed `moat`. Returns the exit code.
int Launch(const std::vector<std::string>& arguments, const std::vector<std::string>& words);
int Config(const std::vector<std::string>& arguments);
int Status(const std::vector<std::string>& arguments);
int Runs(const std::vector<std::string>& arguments);
int Logs(const std::vector<std::string>& arguments);
int Why(const std::vector<std::string>& arguments);
int Stop(const std::vector<std::string>& arguments);
int Doctor(const std::vector<std::string>& arguments);
int Sweep(const std::vector<std::string>& arguments);
int Compare(const std::vector<std::string>& arguments);
int Drill(const std::vector<std::string>& arguments);
// Not for people, and in no list: ranks start it (launch/node_watcher.h).
int WatchNode(const std::vector<std::string>& arguments);
void PrintCommands();
// The commands whose first word this is, as "data"; false: there are none.
bool PrintFamily(const std::string& word);

}  // namespace moat::programs
