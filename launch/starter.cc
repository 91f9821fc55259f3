// Trying what starts ranks here.
#include "launch/starter.h"

#include <fstream>

#include "core/durable_file.h"
#include "core/error.h"
#include "core/logging.h"
#include "launch/probe_run.h"
#include "launch/render.h"

namespace moat::launch {
namespace {

using configs::Starter;

std::optional<Starter> Remembered(const rundir::RunLayout& layout) {
  std::ifstream file(layout.job_starter());
  std::string name;
  file >> name;
  for (const Starter starter : {Starter::kMpirun, Starter::kSrun}) {
    if (name == Name(starter)) return starter;
  }
  return std::nullopt;
}

// "" when it started all ranks of one world; programs that do not find each other are worlds of
// one rank each.
std::string WhyNot(const JobSpec& job) {
  const LaunchPlan plan =
      RenderProgram(job, "moat-probe", {"--measure=memory", "--seconds=0.01", "--json"});
  const ProbeRun tried = RunProbe(plan.argv, plan.env);
  if (!tried.problem.empty()) return tried.problem;
  return tried.result.at("ranks").size() == static_cast<size_t>(plan.ranks)
             ? ""
             : "its ranks do not find each other";
}

}  // namespace

Starter ChooseStarter(const JobSpec& job, const rundir::RunLayout& layout) {
  if (job.config.starter != Starter::kAuto) return job.config.starter;
  if (const auto starter = Remembered(layout)) return *starter;
  std::string problems;
  for (const Starter starter : {Starter::kMpirun, Starter::kSrun}) {
    JobSpec trial = job;
    trial.config.starter = starter;
    const std::string why_not = WhyNot(trial);
    if (why_not.empty()) {
      core::WriteFileAtomically(layout.job_starter(), std::string(Name(starter)) + "\n");
      core::Log() << Name(starter) << " starts the ranks of this run";
      return starter;
    }
    problems += "; " + std::string(Name(starter)) + ": " + why_not;
  }
  throw core::ConfigError("nothing starts the ranks of this job" + problems +
                          "; --starter names the one to keep to");
}

}  // namespace moat::launch
