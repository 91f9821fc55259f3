// The commands that moat runs itself.
#include "programs/moat/builtin.h"

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "configs/command_line.h"
#include "configs/config_report.h"
#include "core/error.h"
#include "core/host.h"
#include "core/logging.h"
#include "launch/allocation.h"
#include "launch/doctor.h"
#include "launch/identity.h"
#include "launch/mpi_job.h"
#include "launch/node_watcher.h"
#include "launch/openmp_waits.h"
#include "launch/preflight.h"
#include "launch/render.h"
#include "launch/run_plan.h"
#include "launch/slurm_script.h"
#include "launch/source_version.h"
#include "launch/submission.h"
#include "launch/submit.h"
#include "launch/supervisor.h"
#include "rundir/capsule.h"

namespace moat::programs {

using configs::CommandLine;
using Words = std::vector<std::string>;

namespace {

// What the run would need, beside what would be started.
void SaySizes(const launch::JobSpec& job) {
  configs::PlanConfig config;
  config.launch = job.config;
  const auto vocabulary = launch::VocabularyOf(job.config.train.data);
  for (const std::string& line : launch::Summary(launch::PlanRun(config, vocabulary, job.cores))) {
    core::Log() << line;
  }
}

int ShowPlan(const launch::JobSpec& job) {
  if (job.config.on == configs::LaunchOn::kSlurm) {
    const std::string script =
        launch::SlurmScript(launch::AsSubmitted(job, launch::LayoutOfJob(job)));
    std::cout << (job.config.json ? nlohmann::ordered_json{{"script", script},
                                                           {"flags", launch::SlurmFlags(job)}}
                                            .dump(2) +
                                        "\n"
                                  : script);
    return 0;
  }
  const launch::LaunchPlan plan = launch::Render(job);
  std::cout << (job.config.json ? launch::ToJson(plan) : launch::ToText(plan));
  return 0;
}

}  // namespace

launch::JobSpec JobHere(const Words& words) {
  launch::JobSpec job;
  job.program = core::ProgramFolder() / "moat-train";
  job.command = {"moat"};
  job.command.insert(job.command.end(), words.begin(), words.end());
  job.mpi = launch::FindMpi(core::ProgramFolder());
  job.waits = launch::OpenMpWaits();
  job.cores = core::Cores();
  job.directory = std::filesystem::current_path();
  return job;
}

int Launch(const Words& arguments, const Words& words) {
  const auto line = CommandLine::Parse("launch", arguments);
  if (line.help_printed()) return 0;
  launch::JobSpec job = JobHere(words);
  job.flags = line;
  job.config = configs::LaunchConfigFromFlags(job.flags);
  if (!job.config.emit.empty()) {
    std::cout << launch::MpiJob(job);
    return 0;
  }
  if (job.config.dry_run) {
    const int code = ShowPlan(job);
    SaySizes(job);
    return code;
  }
  switch (job.config.on) {
    case configs::LaunchOn::kLocal:
      if (job.config.preflight) launch::RequireFitNodes(job);
      return launch::Run(job);
    case configs::LaunchOn::kSlurm:
      return launch::SubmitRun(job);
    case configs::LaunchOn::kAllocation:
      return launch::RunInAllocation(job);
  }
  return 0;
}

namespace {

int ConfigDiff(const CommandLine& line) {
  constexpr int kDiffer = 1;  // as diff and cmp have it
  if (line.positional().size() != 2) {
    throw core::ConfigError("moat config --diff needs two flagfiles or runs, and " +
                            std::to_string(line.positional().size()) + " are given");
  }
  const std::string root = line.value("run_root");
  const auto differences = configs::Differences(configs::ConfigOf({line.positional()[0]}, root),
                                                configs::ConfigOf({line.positional()[1]}, root));
  std::cout << (line.Bool("json") ? configs::ToJson(differences) : configs::ToText(differences));
  return differences.empty() ? 0 : kDiffer;
}

}  // namespace

int Config(const Words& arguments) {
  const auto line = CommandLine::Parse("config", arguments);
  if (line.help_printed()) return 0;
  if (line.Bool("diff")) return ConfigDiff(line);
  const auto flags = configs::ConfigOf(line.positional(), line.value("run_root"));
  if (const std::string flag = line.value("explain"); !flag.empty()) {
    std::cout << (line.Bool("json") ? configs::ExplainJson(flags, flag)
                                    : configs::ExplainText(flags, flag));
    return 0;
  }
  configs::TrainConfigFromFlags(flags, configs::Completeness::kAnyRun);
  if (line.Bool("json")) {
    std::cout << configs::ResolvedJson(flags);
    return 0;
  }
  if (line.Bool("check")) std::cout << line.positional().front() << ": ok\n";
  for (const configs::FlagInfo& flag : configs::FlagsOf("train")) {
    if (line.Bool("check") && !flags.given(flag.name)) continue;
    Words values = flags.values(flag.name);  // a list's one a line: they may hold commas
    if (values.empty()) values = {""};
    for (const std::string& value : values) {
      std::cout << "--" << flag.name << "=" << value << "  # " << flags.origin(flag.name) << "\n";
    }
  }
  return 0;
}

int Doctor(const Words& arguments) {
  const auto line = CommandLine::Parse("doctor", arguments);
  if (line.help_printed()) return 0;
  const launch::Findings found = launch::Examine(core::ProgramFolder(), line.value("run_root"),
                                                 static_cast<int>(line.Int("threads")));
  const std::vector<launch::Check> checks = launch::Diagnose(found);
  std::cout << (line.Bool("json") ? launch::ToJson(found, checks) : launch::ToText(found, checks));
  return launch::CanTrain(checks) ? 0 : static_cast<int>(core::ExitCode::kNode);
}

int Version(const Words& arguments) {
  const auto line = CommandLine::Parse("version", arguments);
  if (line.help_printed()) return 0;
  const rundir::CapsuleEntry build = rundir::DescribeBuild();
  const std::string git = launch::SourceVersion(core::ProgramFolder());
  if (line.Bool("json")) {
    std::cout << nlohmann::ordered_json{{"version", build.version},
                                        {"git", git},
                                        {"build_type", build.build_type},
                                        {"compiler", build.compiler},
                                        {"cuda", build.cuda}}
                     .dump(2)
              << "\n";
    return 0;
  }
  std::cout << "moat " << build.version
            << "\nsources: " << (git.empty() ? "no git work tree around the programs" : git)
            << "\nbuild: " << build.build_type << ", " << build.compiler
            << "\nCUDA: " << (build.cuda.empty() ? "off" : "on, " + build.cuda) << "\n";
  return 0;
}

int WatchNode(const Words& arguments) {
  const std::string rank = arguments.size() == 1 ? arguments.front() : "";
  if (rank.empty() || rank.size() > 9 ||
      rank.find_first_not_of("0123456789") != std::string::npos) {
    throw core::ConfigError(
        "moat watch-node takes the number of a rank: ranks start it themselves");
  }
  launch::WatchNode(std::stoi(rank));
  return 0;
}

bool PrintFamily(const std::string& word) {
  bool any = false;
  for (const configs::CommandInfo& command : configs::Commands()) {
    if (!command.name.starts_with(word + " ")) continue;
    if (!any) std::printf("Commands:\n");
    any = true;
    std::printf("  moat %-18s %s\n", command.name.c_str(), command.summary.c_str());
  }
  if (any) std::printf("\nmoat COMMAND -h shows examples, --help the flags.\n");
  return any;
}

void PrintCommands() {
  std::printf("moat trains your own model on your own interactions.\n\nCommands:\n");
  for (const configs::CommandInfo& command : configs::Commands()) {
    std::printf("  moat %-18s %s\n", command.name.c_str(), command.summary.c_str());
  }
  std::printf("  moat %-18s %s\n", "help [COMMAND]", "This list, or a command's flags.");
  std::printf(
      "\nmoat COMMAND -h shows examples, --help the flags. Start with launch/quickstart.\n");
}

}  // namespace moat::programs
