// Writing a batch script.
#include "launch/slurm_script.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "launch/placement.h"
#include "launch/render.h"

namespace moat::launch {
namespace {

std::string WithNumber(std::string text, const std::string& name, int number) {
  return text.replace(text.find(name), name.size(), std::to_string(number));
}

// In the name of an output file a percent sign starts a pattern.
std::string AsPattern(const std::string& path) {
  std::string pattern;
  for (const char c : path) pattern += c == '%' ? "%%" : std::string(1, c);
  return pattern;
}

class Script {
 public:
  Script(const JobSpec& job)
      : job_(job), config_(job.config), layout_(LayoutOfJob(job)), place_(Place(config_)) {
    for (const std::string& path : {job.directory.string(), layout_.root.string()}) {
      if (path.find_first_of("\n\r") == std::string::npos) continue;
      throw core::ConfigError("a path with a line break cannot stand in a batch script: " + path);
    }
  }

  std::string Text() {
    Line("#!/bin/bash");
    Line("# Run " + config_.train.run + " of moat: " + Count(place_.nodes, "node") + ", " +
         Count(place_.ranks_per_node, "rank") + " on each (dp " + std::to_string(place_.dp) +
         " x tp " + std::to_string(config_.train.tp) + ").");
    Line("# Written by moat launch, which submits it again where the run needs another leg.");
    Size();
    Site();
    Rules();
    Setting();
    Body();
    return text_;
  }

 private:
  static std::string Count(int n, const std::string& noun) {
    return std::to_string(n) + " " + noun + (n == 1 ? "" : "s");
  }
  void Line(const std::string& line) { text_ += line + "\n"; }
  void Directive(const std::string& option) { Line("#SBATCH " + option); }
  void Directive(const std::string& option, const std::string& value) {
    if (!value.empty()) Directive(option + "=" + SbatchQuoted(value));
  }

  void Size() {
    Directive("--job-name", config_.train.run);
    Directive("--nodes", std::to_string(place_.nodes));
    Directive("--ntasks-per-node", std::to_string(place_.ranks_per_node));
    if (config_.train.threads > 0) {
      Directive("--cpus-per-task", std::to_string(config_.train.threads));
    }
    if (config_.slurm.gpus_per_node > 0) {
      Directive(WithNumber(config_.slurm.gpu_request, "GPUS", config_.slurm.gpus_per_node));
    }
  }

  void Site() {
    Directive("--partition", config_.slurm.partition);
    Directive("--account", config_.slurm.account);
    Directive("--time", config_.slurm.time);
    for (const std::string& option : config_.slurm.sbatch) Directive(option);
  }

  void Rules() {
    Directive("--output", AsPattern(layout_.launch().string() + "/job-") + "%j.out");
    Line("# One file for all legs of a job.");
    Directive("--open-mode=append");
    Line("# May be requeued, by this script and by the scheduler.");
    Directive("--requeue");
    if (FewestNodes(config_) < place_.nodes) {
      Line("# Outlives nodes: the run goes on with those that are left.");
      Directive("--no-kill");
    }
    Line("# USR1 to this shell, so many seconds before the time limit: the run saves and ends.");
    Directive("--signal=B:USR1@" +
              std::to_string(static_cast<int>(std::ceil(config_.grace)) + configs::kSignalMargin));
  }

  void Setting() {
    Line("");
    Line("cd -- " + ShellQuoted(job_.directory.string()) + " || exit 2");
    for (const std::string& module : config_.slurm.modules) {
      Line("module load " + ShellQuoted(module) + " || exit 2");
    }
    Line("set -u");
  }

  void Body() {
    const std::string moat = ShellQuoted((job_.program.parent_path() / "moat").string());
    const std::string flags = ShellQuoted("--flagfile=" + layout_.job_flags().string());
    const std::string script = ShellQuoted(layout_.job_script().string());
    const std::string exclude = ShellQuoted(layout_.job_exclude().string());
    text_ += R"sh(
# In the background, since a shell acts on signals only while it waits.
)sh" + moat + " launch " +
             flags +
             R"sh( &
moat=$!
trap 'kill -USR1 "$moat"' USR1  # the time limit is near, or the scheduler wants the nodes
trap 'kill -INT "$moat"' INT    # scancel --batch --signal=INT: save and end for good
ended=                          # by Slurm, which knows whether the job comes back
trap 'ended=yes' TERM           # scancel, or a requeue by somebody else: moat hears it by itself
while kill -0 "$moat" 2>/dev/null; do wait "$moat"; done
wait "$moat"
code=$?

# What the exit codes of a run mean: docs/exit-codes.md.
case $code in
  75) # Saved, and there is more to do. A requeue ends this script, so it comes last.
    [ -n "$ended" ] || scontrol requeue "$SLURM_JOB_ID" || [ -n "$ended" ] ||
      env -u SLURM_RESTART_COUNT sbatch --dependency="afterany:$SLURM_JOB_ID" )sh" +
             script + R"sh(
    ;;
  69) # A node is unhealthy. A requeue could come back to it, so this is a new job.
    [ -n "$ended" ] || env -u SLURM_RESTART_COUNT sbatch --dependency="afterany:$SLURM_JOB_ID" \
      --exclude="$(cat )sh" +
             exclude + ")\" " + script + R"sh(
    ;;
esac
exit "$code"
)sh";
  }

  const JobSpec& job_;
  const configs::LaunchConfig& config_;
  const rundir::RunLayout layout_;
  const Placement place_;
  std::string text_;
};

}  // namespace

rundir::RunLayout LayoutOfJob(const JobSpec& job) {
  const auto layout = rundir::LayoutOf(job.config.train.run_root, job.config.train.run);
  // One name for one place: a run's job is known by the path of its script.
  return {std::filesystem::weakly_canonical(job.directory / layout.root)};
}

std::string SlurmScript(const JobSpec& job) { return Script(job).Text(); }

std::string SlurmFlags(const JobSpec& job) {
  const Placement place = Place(job.config);
  return job.flags.ResolvedFlags() +
         "# In the job:\n--on=allocation\n--dp=" + std::to_string(place.dp) +
         "\n--ranks_per_node=" + std::to_string(place.ranks_per_node) +
         "\n--wait=false\n--parsable=false\n--json=false\n";
}

std::string SbatchQuoted(const std::string& value) {
  const bool plain = !value.empty() && value.find_first_of(" \t\"'\\#") == std::string::npos;
  if (plain) return value;
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace moat::launch
