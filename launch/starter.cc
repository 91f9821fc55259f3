// Trying what starts ranks here.
#include "launch/starter.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/durable_file.h"
#include "core/error.h"
#include "core/logging.h"
#include "launch/captured.h"
#include "launch/render.h"

namespace moat::launch {
namespace {

using configs::Starter;

constexpr double kPatience = 120;  // seconds for all ranks to come up

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
  try {
    const Captured tried = RunCaptured(plan.argv, plan.env, kPatience);
    if (tried.code == 124)
      return "no answer within " + std::to_string(static_cast<int>(kPatience)) + " s";
    if (tried.code != 0) {
      return "exit code " + std::to_string(tried.code) + ", saying: " + tried.errors.substr(0, 400);
    }
    const auto answer = nlohmann::json::parse(tried.output, nullptr, false);
    const size_t ranks = answer.is_discarded() ? 1 : answer.at("ranks").size();
    return ranks == static_cast<size_t>(plan.ranks) ? "" : "its ranks do not find each other";
  } catch (const core::ConfigError& error) {
    return error.what();
  }
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
