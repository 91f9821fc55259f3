// Asking a run to save and end.
#pragma once

#include <string>

namespace moat::launch {

// Tells the run's supervisor to save and end with 78, and returns the process that was told. Throws
// ConfigError when nobody runs it, or somebody on another host does.
std::string StopRun(const std::string& run_root, const std::string& name);

// Waits until nobody runs it any more; false: somebody still does after `seconds`.
bool WaitUntilOver(const std::string& run_root, const std::string& name, double seconds);

}  // namespace moat::launch
