// moat doctor: what this machine has, and whether it can train.
//
// Examine() looks and lets moat-probe measure, each part in a process of its own, so that one that
// fails does not hide the others. Diagnose() is pure: findings in, checks out.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "launch/machine.h"
#include "launch/mpi_install.h"
#include "launch/probe_run.h"

namespace moat::launch {

struct Findings {
  Machine machine;
  std::string run_root;
  std::vector<std::string> missing_programs;  // that belong beside moat
  std::string mpi_version;                    // the first line of mpirun --version
  ProbeRun compute;                           // gemm and memory
  ProbeRun disk;
  ProbeRun ranks;  // collectives of two ranks under mpirun
  ProbeRun cuda;
};

struct Check {
  enum class State { kOk, kWarn, kFail };
  State state = State::kOk;
  std::string name;
  std::string what;    // found
  std::string advice;  // what to do, "" when nothing
};

// Takes about ten seconds. `threads` as for moat-probe.
Findings Examine(const std::filesystem::path& program_folder, const std::string& run_root,
                 int threads);

std::vector<Check> Diagnose(const Findings& findings);
bool CanTrain(const std::vector<Check>& checks);  // none has failed

std::string ToText(const Findings& findings, const std::vector<Check>& checks);
std::string ToJson(const Findings& findings, const std::vector<Check>& checks);

}  // namespace moat::launch
