// From a job to the command that starts it.
#include "launch/render.h"

#include <signal.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/comma_list.h"
#include "launch/placement.h"
#include "parallel/canonical_ways.h"
#include "rundir/attempt.h"
#include "rundir/layout.h"

namespace moat::launch {

namespace {

using Words = std::vector<std::string>;

void Add(Words& argv, const Words& more) { argv.insert(argv.end(), more.begin(), more.end()); }

std::string OfSrun(configs::Binding binding) {
  switch (binding) {
    case configs::Binding::kNone:
      return "none";
    case configs::Binding::kCore:
      return "cores";
    case configs::Binding::kNuma:
      return "ldoms";
    case configs::Binding::kSocket:
      return "sockets";
  }
  return "none";
}

// Variables that ranks on other hosts do not get by themselves.
Words Forwarded(const JobSpec& job) {
  Words names = {"OMP_NUM_THREADS", rundir::kAttemptVariable, rundir::kRunDirVariable,
                 rundir::kSupervisedVariable};
  if (LeavesThisNode(job.config)) names.push_back(rundir::kNodeWatchVariable);
  for (const auto& [name, value] : job.waits) names.push_back(name);
  for (const auto& [name, value] : job.config.env) {
    if (!job.waits.contains(name)) names.push_back(name);
  }
  return names;
}

Words Mpirun(const JobSpec& job, const Placement& place, int threads) {
  const configs::LaunchConfig& config = job.config;
  const std::string per_node = std::to_string(place.ranks_per_node);
  Words argv = {job.mpi.mpirun, "-np", std::to_string(place.ranks()), "--oversubscribe"};
  if (!config.hostfile.empty()) Add(argv, {"--hostfile", config.hostfile});
  if (!job.hosts.empty()) Add(argv, {"--host", core::JoinWithCommas(job.hosts)});
  if (config.bind == configs::Binding::kCore) {
    Add(argv, {"--map-by", "ppr:" + per_node + ":node:pe=" + std::to_string(threads)});
  } else if (config.on != configs::LaunchOn::kLocal || !config.hostfile.empty()) {
    Add(argv, {"--map-by", "ppr:" + per_node + ":node"});
  }
  Add(argv, {"--bind-to", configs::Name(config.bind)});
  for (const std::string& name : Forwarded(job)) Add(argv, {"-x", name});
  return argv;
}

// What srun forwards is the whole environment.
Words Srun(const JobSpec& job, const Placement& place, int threads) {
  Words argv = {"srun",
                "--mpi=pmix",
                "--nodes=" + std::to_string(place.nodes),
                "--ntasks=" + std::to_string(place.ranks()),
                "--ntasks-per-node=" + std::to_string(place.ranks_per_node),
                "--cpus-per-task=" + std::to_string(threads),
                "--distribution=block",
                "--overcommit",
                "--kill-on-bad-exit=1",
                "--cpu-bind=" + OfSrun(job.config.bind)};
  if (!job.hosts.empty()) argv.push_back("--nodelist=" + core::JoinWithCommas(job.hosts));
  return argv;
}

// A program of moat, or the one of that name in the container: images are replaced whole, so that
// an image's name says which moat it is.
Words Program(const JobSpec& job, const rundir::RunLayout& layout, const std::string& name) {
  const configs::LaunchConfig& config = job.config;
  if (config.container.empty()) return {(job.program.parent_path() / name).string()};
  Words argv = {"apptainer", "exec", "--pwd", job.directory.string()};
  Words seen = {job.directory.string(), (job.directory / layout.root).string()};
  for (const std::string& data : config.train.data) seen.push_back(job.directory / data);
  for (const std::string& path : seen) Add(argv, {"--bind", path});
  Add(argv, config.container_options);
  Add(argv, {config.container, name});
  return argv;
}

std::vector<std::string> Notes(const JobSpec& job, const Placement& place, int threads) {
  std::vector<std::string> notes;
  if (place.ranks() == 1 && job.config.train.dp == -1) {
    notes.push_back("one rank; --dp=N starts N");
  }
  if (place.ranks_per_node * threads > job.cores) {
    notes.push_back(std::to_string(place.ranks_per_node) + " ranks x " + std::to_string(threads) +
                    " threads share " + std::to_string(job.cores) + " cores");
  }
  return notes;
}

}  // namespace

LaunchPlan RenderProgram(const JobSpec& job, const std::string& name,
                         const std::vector<std::string>& arguments) {
  const configs::TrainConfig& train = job.config.train;
  const rundir::RunLayout layout = rundir::LayoutOf(train.run_root, train.run);
  const Placement place = Place(job.config);
  LaunchPlan plan;
  plan.ranks = place.ranks();
  plan.threads = train.threads > 0 ? train.threads : std::max(1, job.cores / place.ranks_per_node);
  plan.notes = Notes(job, place, plan.threads);
  // Open MPI refuses root, binds two ranks to a core each, and leaves the others two seconds after
  // a rank has died, unless told otherwise: they can only wait for the dead one.
  plan.env = {{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
              {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
              {"OMPI_MCA_odls_base_sigkill_timeout", "0"},
              {"OMP_NUM_THREADS", std::to_string(plan.threads)},
              {rundir::kAttemptVariable, std::to_string(job.attempt)},
              {rundir::kRunDirVariable, layout.root.string()},
              {rundir::kSupervisedVariable, "1"}};
  // The supervisor puts it in when it listens: a secret is in no plan.
  if (LeavesThisNode(job.config)) plan.env[rundir::kNodeWatchVariable] = "";
  plan.env.insert(job.mpi.env.begin(), job.mpi.env.end());
  plan.env.insert(job.config.env.begin(), job.config.env.end());
  plan.env.insert(job.waits.begin(), job.waits.end());
  plan.argv = job.config.starter == configs::Starter::kSrun ? Srun(job, place, plan.threads)
                                                            : Mpirun(job, place, plan.threads);
  // Slurm ends a job by TERM to all its processes: mpirun would kill the ranks on it within a
  // second. They hear it, too, and save and end by themselves.
  if (job.config.on == configs::LaunchOn::kAllocation) plan.blocked = {SIGTERM};
  Add(plan.argv, Program(job, layout, name));
  Add(plan.argv, arguments);
  return plan;
}

void CheckGrid(const configs::LaunchConfig& config) {
  const configs::TrainConfig& train = config.train;
  parallel::MakeWays(train.reduction == configs::Reduction::kCanonical, train.global_batch,
                     train.micro_batch, Place(config).dp, train.canonical_ways);
}

LaunchPlan Render(const JobSpec& job) {
  CheckGrid(job.config);
  const configs::TrainConfig& train = job.config.train;
  const rundir::RunLayout layout = rundir::LayoutOf(train.run_root, train.run);
  Words arguments = {"--flagfile=" + layout.flags().string()};
  if (job.again) arguments.push_back("--resume=auto");  // what was asked for was for the first
  if (job.smaller) arguments.push_back("--dp=" + std::to_string(Place(job.config).dp));
  return RenderProgram(job, job.program.filename(), arguments);
}

std::string ToText(const LaunchPlan& plan) {
  std::string text;
  for (const std::string& note : plan.notes) text += "# " + note + "\n";
  for (const auto& [name, value] : plan.env) text += name + "=" + ShellQuoted(value) + " ";
  for (size_t i = 0; i < plan.argv.size(); ++i) {
    text += (i == 0 ? "" : " ") + ShellQuoted(plan.argv[i]);
  }
  return text + "\n";
}

std::string ToJson(const LaunchPlan& plan) {
  const nlohmann::ordered_json json = {{"ranks", plan.ranks},
                                       {"threads", plan.threads},
                                       {"argv", plan.argv},
                                       {"env", plan.env},
                                       {"notes", plan.notes}};
  return json.dump(2) + "\n";
}

std::string ShellQuoted(const std::string& word) {
  const auto plain = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_=./:,@%+").find(static_cast<char>(c)) != std::string_view::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), plain)) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace moat::launch
