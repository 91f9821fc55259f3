// The command that says what a run would need: plan.
#include <iostream>

#include "configs/command_line.h"
#include "core/host.h"
#include "launch/identity.h"
#include "launch/run_plan.h"
#include "model/architecture/memory_fit.h"
#include "programs/moat/builtin.h"

namespace moat::programs {

int Plan(const std::vector<std::string>& arguments) {
  const auto line = configs::CommandLine::Parse("plan", arguments);
  if (line.help_printed()) return 0;
  const configs::PlanConfig config = configs::PlanConfigFromFlags(line);
  const std::vector<std::string>& data = config.launch.train.data;
  launch::CheckData(data);
  const launch::RunPlan plan = launch::PlanRun(config, launch::VocabularyOf(data), core::Cores());
  std::cout << (config.json ? launch::ToJson(plan) : launch::ToText(plan)) << std::flush;
  // As the run would: 71, and which flags would help.
  if (plan.room) model::CheckFits(plan.config.launch.train.model, plan.options, *plan.room);
  return 0;
}

}  // namespace moat::programs
