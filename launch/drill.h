// A drill: a run is killed or preempted at a chosen step and recovers; then its losses and its
// state must equal those of a run with the same flags that nobody disturbed.
//
//   runs/NAME/undisturbed/ undisturbed.log drilled/ drilled.log
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "configs/command_line.h"
#include "rundir/metrics.h"

namespace moat::launch {

// What the two runs have; losses that are NaN in both are equal.
struct DrillSide {
  rundir::Metrics metrics;
  std::string state_hash;  // of all weights and moments at the end; "": not known
};

struct DrillReport {
  int64_t steps = 0;                  // whose losses were compared
  std::optional<int64_t> differs_at;  // the first step with another loss, or that one lacks
  std::optional<double> loss_undisturbed, loss_drilled;  // of that step
  std::string hash_undisturbed, hash_drilled;
  int attempts = 0;  // of the drilled run

  // Never where a hash is unknown or nothing was compared.
  bool equal() const {
    return steps > 0 && !differs_at && !hash_undisturbed.empty() &&
           hash_undisturbed == hash_drilled;
  }
};

// Pure. Bit by bit; of a step that was repeated the last loss counts.
DrillReport CompareSides(const DrillSide& undisturbed, const DrillSide& drilled);

// The last "state hash" in the text of a log; "" where there is none.
std::string StateHashIn(const std::string& log);

std::string ToText(const DrillReport& report);
std::string ToJson(const DrillReport& report);

// Runs both (what is done already is not run again) and compares. `moat`: the program. Throws
// ConfigError for flags that make no drill, PeerError where the run does not recover or ended
// before it was struck.
DrillReport RunDrill(const configs::CommandLine& line, const std::filesystem::path& moat);

}  // namespace moat::launch
