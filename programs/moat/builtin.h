// The commands that moat runs itself.
#pragma once

#include <string>
#include <vector>

#include "launch/job_spec.h"

namespace moat::programs {

// What a job that this process starts is made of, but for its flags. `words`, here and below: all
// that followed `moat`.
launch::JobSpec JobHere(const std::vector<std::string>& words);

// Returns the exit code, as all that follow.
int Launch(const std::vector<std::string>& arguments, const std::vector<std::string>& words);
int Config(const std::vector<std::string>& arguments);
int Plan(const std::vector<std::string>& arguments);
int Status(const std::vector<std::string>& arguments);
int Runs(const std::vector<std::string>& arguments);
int Logs(const std::vector<std::string>& arguments);
int Why(const std::vector<std::string>& arguments);
int Stop(const std::vector<std::string>& arguments);
int Doctor(const std::vector<std::string>& arguments);
int Version(const std::vector<std::string>& arguments);
int Sweep(const std::vector<std::string>& arguments, const std::vector<std::string>& words);
int Compare(const std::vector<std::string>& arguments);
int Drill(const std::vector<std::string>& arguments);
// Not for people, and in no list: ranks start it (launch/node_watcher.h).
int WatchNode(const std::vector<std::string>& arguments);
void PrintCommands();
// The commands whose first word this is, as "data"; false: there are none.
bool PrintFamily(const std::string& word);

}  // namespace moat::programs
