// The runs under a directory, and how each is doing.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "launch/slurm_queue.h"
#include "rundir/metrics.h"
#include "rundir/outcome.h"

namespace moat::launch {

struct RunSummary {
  std::string name;
  rundir::Outcome outcome;               // resumable: as of now, also while it runs
  int64_t step = 0;                      // by metrics.jsonl
  std::optional<int64_t> target;         // --steps
  std::optional<rundir::StepLine> last;  // of that step
  std::optional<double> val_loss;
  std::optional<double> val_bits_per_byte;
  std::string doing;  // a running run's rank 0: "step", "saving", ...; "" where unknown
  std::optional<QueuedJob> job = {};  // of a scheduler, where one is known (launch/submit.h)

  bool live() const {  // it may still change by itself
    return outcome.state == rundir::RunState::kRunning ||
           outcome.state == rundir::RunState::kQueued;
  }
};

// Reads runs, again and again if need be: of metrics only what was added.
class RunReader {
 public:
  explicit RunReader(std::string run_root) : run_root_(std::move(run_root)) {}

  // Throws ConfigError as CheckRunExists (launch/run_choice.h), DataError for a broken outcome.
  RunSummary Read(const std::string& name);
  // All of them, by name; one that cannot be read costs a warning on stderr.
  std::vector<RunSummary> ReadAll();

 private:
  std::string run_root_;
  std::map<std::string, rundir::MetricsReader> metrics_;
};

std::string ToText(const std::vector<RunSummary>& runs);  // a table
std::string ToText(const RunSummary& run);                // all about one
// An array, one object a run; or one object. exit_code is null while a run is queued or running,
// and when it was lost. `indent` -1: in one line.
std::string ToJson(const std::vector<RunSummary>& runs, int indent = 2);
std::string ToJson(const RunSummary& run, int indent = 2);

}  // namespace moat::launch
