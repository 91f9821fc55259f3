// The runs under a directory, and how each is doing.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rundir/outcome.h"

namespace moat::launch {

struct RunSummary {
  std::string name;
  rundir::Outcome outcome;
  int64_t step = 0;            // by metrics.jsonl
  std::optional<double> loss;  // of that step
  std::optional<double> val_loss;
  std::optional<double> val_bits_per_byte;
};

// Throws ConfigError, with the nearest name, when there is no such run.
RunSummary SummaryOf(const std::string& run_root, const std::string& name);
std::vector<RunSummary> ListRuns(const std::string& run_root);  // by name

std::string ToText(const std::vector<RunSummary>& runs);  // a table
std::string ToText(const RunSummary& run);                // all about one
std::string ToJson(const std::vector<RunSummary>& runs);  // an array, one object a run
std::string ToJson(const RunSummary& run);

// Asks the run's supervisor to save and end with 78. Throws ConfigError when nobody runs it, or
// somebody on another host does. Returns the process that was told.
std::string StopRun(const std::string& run_root, const std::string& name);

}  // namespace moat::launch
