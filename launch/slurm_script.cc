// Writing a batch script.
#include "launch/slurm_script.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "launch/placement.h"
#include "launch/render.h"
#include "launch/slurm_queue.h"

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

std::string Count(int n, const std::string& noun) {
  return std::to_string(n) + " " + noun + (n == 1 ? "" : "s");
}

std::string Text(const Placement& place) {
  return Count(place.nodes, "node") + ", " + Count(place.ranks_per_node, "rank") + " on each";
}

// The script of a run, and with `array` of several.
class Script {
 public:
  Script(const JobSpec& job, const TaskArray* array)
      : job_(job),
        config_(job.config),
        array_(array),
        home_(array == nullptr ? LayoutOfJob(job) : rundir::RunLayout{array->directory}),
        place_(Place(config_)) {
    for (const std::string& path : {job.directory.string(), home_.root.string()}) {
      if (path.find_first_of("\n\r") == std::string::npos) continue;
      throw core::ConfigError("a path with a line break cannot stand in a batch script: " + path);
    }
  }

  std::string Text() {
    Line("#!/bin/bash");
    Title();
    Size();
    Site();
    Rules();
    Setting();
    array_ == nullptr ? OneRun() : RunOfTask();
    Body();
    return text_;
  }

 private:
  void Line(const std::string& line) { text_ += line + "\n"; }
  void Directive(const std::string& option) { Line("#SBATCH " + option); }
  void Directive(const std::string& option, const std::string& value) {
    if (!value.empty()) Directive(option + "=" + SbatchQuoted(value));
  }

  void Title() {
    const std::string name = array_ == nullptr ? config_.train.run : home_.root.filename().string();
    if (array_ == nullptr) {
      Line("# Run " + name + " of moat: " + launch::Text(place_) + " (dp " +
           std::to_string(place_.dp) + " x tp " + std::to_string(config_.train.tp) + ").");
      Line("# Written by moat launch, which submits it again where the run needs another leg.");
    } else {
      Line("# Sweep " + name + " of moat: " + std::to_string(array_->numbers.size()) + " of its " +
           Count(static_cast<int>(array_->planned), "run") + ", each " + launch::Text(place_) +
           ".");
      Line("# Written by moat sweep. A task has the number of its run in sweep.tsv, and submits");
      Line("# itself again where the run needs another leg.");
    }
    Directive("--job-name", name);
    if (array_ != nullptr) Directive("--array", ArrayOf(array_->numbers, array_->parallel));
  }

  void Size() {
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
    Directive("--output", AsPattern(home_.launch().string() + "/job-") +
                              (array_ == nullptr ? "%j.out" : "%A_%a.out"));
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
    Line("");
  }

  // What Body() works on: the directory of the run, this job, and what submits it again.
  void OneRun() {
    Line("run=" + ShellQuoted(home_.root.string()));
    Line("job=$SLURM_JOB_ID");
    Line("again=(" + ShellQuoted(home_.job_script().string()) + ")");
  }

  void RunOfTask() {
    Line("sweep=" + ShellQuoted(home_.root.string()));
    text_ +=
        R"sh(name=$(awk -F '\t' -v number="$SLURM_ARRAY_TASK_ID" '$1 == number { print $NF }' "$sweep/sweep.tsv")
[ -n "$name" ] || { echo "$sweep/sweep.tsv has no run $SLURM_ARRAY_TASK_ID" >&2; exit 2; }
run=$sweep/$name
job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID  # $SLURM_JOB_ID may mean the whole array
again=(--array="$SLURM_ARRAY_TASK_ID" )sh" +
        ShellQuoted(home_.job_script().string()) + ")\n";
  }

  // Submits the script again without the nodes in a file; where a run may do with fewer, with as
  // many as are left.
  std::string WithoutNodes(const std::string& exclude) const {
    const std::string submit =
        "env -u SLURM_RESTART_COUNT sbatch --dependency=\"afterany:$job\" \\\n      "
        "--exclude=\"$(cat " +
        exclude + ")\" ";
    if (FewestNodes(config_) == place_.nodes) return submit + "\"${again[@]}\"";
    std::string counts;
    for (int n = place_.nodes; n >= FewestNodes(config_); --n) counts += " " + std::to_string(n);
    return "for nodes in" + counts + "; do\n      " + submit +
           "--nodes=\"$nodes\" \"${again[@]}\" && break\n    done";
  }

  void Body() {
    const std::string moat = ShellQuoted((job_.program.parent_path() / "moat").string());
    const rundir::RunLayout run{"$run"};
    const std::string flags = "--flagfile=\"" + run.job_flags().string() + "\"";
    const std::string exclude = "\"" + run.job_exclude().string() + "\"";
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
    [ -n "$ended" ] || scontrol requeue "$job" || [ -n "$ended" ] ||
      env -u SLURM_RESTART_COUNT sbatch --dependency="afterany:$job" "${again[@]}"
    ;;
  69) # A node is unhealthy. A requeue could come back to it, so this is a new job.
    [ -n "$ended" ] || )sh" +
             WithoutNodes(exclude) + R"sh(
    ;;
esac
exit "$code"
)sh";
  }

  const JobSpec& job_;
  const configs::LaunchConfig& config_;
  const TaskArray* const array_;  // null: of one run
  const rundir::RunLayout home_;  // where the script is kept
  const Placement place_;
  std::string text_;
};

}  // namespace

rundir::RunLayout LayoutOfJob(const JobSpec& job) {
  const auto layout = rundir::LayoutOf(job.config.train.run_root, job.config.train.run);
  // One name for one place: a run's job is known by the path of its script.
  return {std::filesystem::weakly_canonical(job.directory / layout.root)};
}

std::string SlurmScript(const JobSpec& job) { return Script(job, nullptr).Text(); }

std::string SlurmScript(const JobSpec& job, const TaskArray& array) {
  return Script(job, &array).Text();
}

void CheckOneSize(const JobSpec& job, const JobSpec& other) {
  const auto size = [](const JobSpec& of) {
    const Placement place = Place(of.config);
    const int threads = of.config.train.threads;
    return Count(place.nodes, "node") + " x " + Count(place.ranks_per_node, "rank") +
           (threads > 0 ? " x " + Count(threads, "thread") : "");
  };
  if (size(job) == size(other)) return;
  throw core::ConfigError("asks for " + size(other) + ", where the first asks for " + size(job) +
                          ": the tasks of an array are all of one size; make a sweep of each size");
}

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
