// One run of moat-probe, which measures what a machine or a job can do.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace moat::launch {

struct ProbeRun {
  std::string problem;            // why there is nothing measured, "" when there is
  nlohmann::ordered_json result;  // what it printed
};

// Runs `argv`, moat-probe --json or what starts it on many ranks, with `env` added to the
// environment. It has 120 s.
ProbeRun RunProbe(const std::vector<std::string>& argv,
                  const std::map<std::string, std::string>& env);

}  // namespace moat::launch
