// What a sweep's cells (or several runs) came to: mean, standard deviation and paired differences
// of the validation loss at the end. Pure, but for reading runs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "launch/sweep_plan.h"

namespace moat::launch {

struct Spread {
  int n = 0;
  std::optional<double> mean;  // of none there is none
  std::optional<double> sd;    // of the sample (n - 1), from two on
};
Spread SpreadOf(const std::vector<double>& values);

struct ComparedCell {
  std::string name;                   // "0", or a run's name
  std::vector<std::string> values;    // of Comparison::flags
  std::map<uint64_t, double> losses;  // by seed; of runs that are done and evaluated
  std::vector<std::string> missing;   // the other runs
  Spread loss;
  Spread difference;  // to the first cell, over seeds that both have: how much higher this is
  bool best = false;  // the lowest mean of those with a loss; one cell
};

struct Comparison {
  std::vector<std::string> flags;
  std::vector<ComparedCell> cells;
};

// Fills loss, difference and best of every cell from losses.
void Conclude(Comparison* comparison);

// The loss of a run that is done, by its last evaluation; nullopt for every other run.
std::optional<double> FinalLoss(const std::string& run_root, const std::string& run);

// `names`: one sweep, or runs. Throws ConfigError where there is no such sweep or run, or a sweep
// is named beside others.
Comparison Compare(const std::string& run_root, const std::vector<std::string>& names);

std::string ToText(const Comparison& comparison);  // a table, the best marked with '*'
std::string ToJson(const Comparison& comparison);  // full precision; null for what there is not
std::string ToCsv(const Comparison& comparison);   // full precision; empty for what there is not

}  // namespace moat::launch
