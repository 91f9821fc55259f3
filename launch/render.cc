// From a job to the command that starts it.
#include "launch/render.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "parallel/canonical_ways.h"
#include "rundir/attempt.h"
#include "rundir/layout.h"

namespace moat::launch {

LaunchPlan Render(const JobSpec& job) {
  const configs::TrainConfig& train = job.config.train;
  const rundir::RunLayout layout = rundir::LayoutOf(train.run_root, train.run);
  LaunchPlan plan;
  const int dp = train.dp == -1 ? 1 : train.dp;
  if (train.dp == -1) plan.notes.push_back("one rank; --dp=N starts N");
  plan.ranks = dp * train.tp;
  plan.threads = train.threads > 0 ? train.threads : std::max(1, job.cores / plan.ranks);
  parallel::MakeWays(train.reduction == configs::Reduction::kCanonical, train.global_batch,
                     train.micro_batch, dp, train.canonical_ways);
  if (plan.ranks * plan.threads > job.cores) {
    plan.notes.push_back(std::to_string(plan.ranks) + " ranks x " + std::to_string(plan.threads) +
                         " threads share " + std::to_string(job.cores) + " cores");
  }

  // Open MPI refuses root, binds two ranks to a core each, and leaves the others two seconds after
  // a rank has died, unless told otherwise: they can only wait for the dead one.
  plan.env = {{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
              {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
              {"OMPI_MCA_odls_base_sigkill_timeout", "0"},
              {"OMP_NUM_THREADS", std::to_string(plan.threads)},
              {rundir::kAttemptVariable, std::to_string(job.attempt)},
              {rundir::kRunDirVariable, layout.root.string()},
              {rundir::kSupervisedVariable, "1"}};
  plan.env.insert(job.mpi.env.begin(), job.mpi.env.end());
  plan.argv = {job.mpi.mpirun,    "-np",       std::to_string(plan.ranks),
               "--oversubscribe", "--bind-to", "none"};
  for (const char* name : {"OMP_NUM_THREADS", rundir::kAttemptVariable, rundir::kRunDirVariable,
                           rundir::kSupervisedVariable}) {
    plan.argv.insert(plan.argv.end(), {"-x", name});
  }
  plan.argv.push_back(job.program.string());
  plan.argv.push_back("--flagfile=" + layout.flags().string());
  if (job.again) plan.argv.push_back("--resume=auto");  // what was asked for was for the first
  return plan;
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
