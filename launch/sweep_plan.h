// The plan of a sweep: which runs it has, their numbers, and sweep.tsv, which keeps both. Pure.
//
// Cells are the product of the varied values, the last --vary changing fastest; every cell has the
// same seeds, so that runs of one seed begin with equal weights and see the same data. Runs are
// numbered from 0, cell by cell, and keep their numbers for ever.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rundir/layout.h"

namespace moat::launch {

struct Variation {
  std::string flag;                 // "lr"
  std::vector<std::string> values;  // as CanonicalValue writes them; at least one, all different
  bool operator==(const Variation&) const = default;
};

// "lr=1e-4,3e-4". Throws ConfigError for a flag that is unknown, does not belong to training or is
// the sweep's own (--run, --seed, ...), and for a value that is missing, there twice, or not of the
// flag's type.
Variation ParseVariation(const std::string& text);

struct SweepRun {
  int number = 0;
  int cell = 0;
  std::vector<std::string> values;  // of the plan's flags
  uint64_t seed = 0;
  std::string run;  // "cell-003-seed-1": its name, under the sweep's directory
  bool operator==(const SweepRun&) const = default;
};

struct SweepPlan {
  std::vector<std::string> flags;  // that are varied
  std::vector<SweepRun> runs;
  bool operator==(const SweepPlan&) const = default;
};

// Seeds are `first_seed` and those after it. Throws ConfigError for a flag that is varied twice, no
// seeds, or more than 100,000 runs.
SweepPlan PlanSweep(const std::vector<Variation>& variations, int seeds, uint64_t first_seed);

// "lr=0.001 width=32", of one run.
std::string CellText(const SweepPlan& plan, const SweepRun& run);

// A header, then a line a run: number, cell, the varied flags, seed, run; between them tabs.
std::string ToTsv(const SweepPlan& plan);
// Throws DataError, with `where` and the line, for text that ToTsv did not write.
SweepPlan SweepFromTsv(const std::string& text, const std::string& where);

// Where a sweep keeps it.
std::filesystem::path SweepFile(const rundir::RunLayout& sweep);
// The number of the run of this name in the text of a sweep.tsv; nullopt: it has none.
std::optional<int> NumberOf(const std::string& text, const std::string& run);

// Lines that only one of two texts has, "- of before" and "+ of now"; "" where there are none.
std::string LineDifferences(const std::string& before, const std::string& now);

}  // namespace moat::launch
