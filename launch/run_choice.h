// Which run is meant: by its name, or the newest.
#pragma once

#include <string>
#include <vector>

namespace moat::launch {

// The directories of `run_root` that hold a run, by name.
std::vector<std::string> RunNames(const std::string& run_root);

// Throws ConfigError when `name` is no run of `run_root`, with the nearest name, or with another
// directory that has it, where there is one: beside a parent of the current directory, or beside
// the tree that moat was built in.
void CheckRunExists(const std::string& run_root, const std::string& name);

// How a message ends that says that `run_root` has no run `name`: "; did you mean coffee?", "; moat
// runs lists them", or as said above. It need not be the name of a run.
std::string HintOfRun(const std::string& run_root, const std::string& name);

// `named`, or where it is empty the run whose outcome changed last, of those that are running if
// `running`. Throws ConfigError as CheckRunExists, and where there is none.
std::string ChooseRun(const std::string& run_root, const std::string& named, bool running = false);

}  // namespace moat::launch
