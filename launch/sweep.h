// Running a sweep on this machine: several `moat launch` side by side, each a run of its own.
//
//   runs/NAME/sweep.tsv sweep.flags lease.json     the plan, the flags all runs share, the driver
//   runs/NAME/cell-000-seed-1/                     a run, as moat launch makes it
//   runs/NAME/cell-000-seed-1.log                  what its launcher said
//
// The plan is written once, atomically, before anything starts. Which runs are done is concluded
// from their outcome.json alone: a driver that was killed is started again with the same flags and
// starts what is missing. Runs die with their driver.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "configs/command_line.h"
#include "launch/sweep_plan.h"
#include "rundir/layout.h"

namespace moat::launch {

// The flags of `moat launch` for one run of the sweep that `line` (of `moat sweep`) describes.
// `sweep_directory` becomes its --run_root.
std::vector<std::string> FlagsOfRun(const configs::CommandLine& line, const SweepPlan& plan,
                                    const SweepRun& run, const std::string& sweep_directory);

// The plan of `line`, every cell's flags checked. Throws ConfigError, which names the cell.
SweepPlan PlanOf(const configs::CommandLine& line);

// The sweep's own directory; relative where --run_root is.
rundir::RunLayout LayoutOfSweep(const configs::CommandLine& line);

// Throws ConfigError where the directory holds a run, or another sweep, with the lines that differ.
void CheckIsSweep(const rundir::RunLayout& sweep, const SweepPlan& plan,
                  const configs::CommandLine& line);
// Writes the plan and the flags all runs share, unless they are there.
void KeepPlan(const rundir::RunLayout& sweep, const SweepPlan& plan,
              const configs::CommandLine& line);

// How many runs of `ranks` x `threads` (0: as many as there are) fit on `cores`; at least 1.
int SideBySide(int cores, int ranks, int threads);

// Runs what is missing and returns 0 when all runs are done, 78 or 75 when it was told to stop,
// else the exit code of the first run, by number, that is not done. `moat`: the program. Throws
// ConfigError as CheckIsSweep, and where a driver or tasks of Slurm (sweep_array.h) work on it.
int RunSweep(const configs::CommandLine& line, const std::filesystem::path& moat, int cores);

}  // namespace moat::launch
