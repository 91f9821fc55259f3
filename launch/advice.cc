// One command for each way a run may end.
#include "launch/advice.h"

#include <re2/re2.h>

#include <algorithm>
#include <optional>
#include <sstream>

#include "configs/command_line.h"
#include "configs/identity.h"
#include "core/error.h"
#include "launch/render.h"

namespace moat::launch {
namespace {

std::string Launch(const rundir::RunLayout& layout, const std::string& more = "") {
  const bool submitted = std::filesystem::exists(layout.job_flags());
  const std::filesystem::path flags = submitted ? layout.job_flags() : layout.flags();
  return "moat launch --flagfile=" + ShellQuoted(flags.string()) +
         (submitted ? " --on=slurm" : "") + more;
}

std::optional<configs::CommandLine> FlagsOf(const rundir::RunLayout& layout) {
  try {
    return configs::CommandLine::Parse("train",
                                       {std::string("--flagfile=") + layout.flags().string()});
  } catch (const core::Error&) {  // none, or another version's
    return std::nullopt;
  }
}

std::string Half(double value) {
  std::ostringstream text;
  text << value / 2;
  return text.str();
}

Advice LessMemory(const rundir::RunLayout& layout) {
  const auto flags = FlagsOf(layout);
  const int64_t micro_batch = flags ? flags->Int("micro_batch") : 1;
  if (micro_batch > 1) {
    return {"fewer sequences at a time take less memory",
            Launch(layout, " --micro_batch=" + std::to_string(micro_batch / 2))};
  }
  if (!flags || flags->value("recompute") != "block") {
    return {"computing activations again takes less memory", Launch(layout, " --recompute=block")};
  }
  return {"more ranks share what is held", Launch(layout, " --zero=1 --dp=2")};
}

Advice LowerRate(const Why& why, const rundir::RunLayout& layout) {
  const auto flags = FlagsOf(layout);
  std::string more = " --run=" + ShellQuoted(why.run + "-lower-lr");
  if (flags) more += " --lr=" + Half(flags->Double("lr"));
  return {"a new run with a lower learning rate (that of a run cannot change)",
          Launch(layout, more)};
}

Advice CheckData(const rundir::RunLayout& layout) {
  const auto flags = FlagsOf(layout);
  const auto data = flags ? flags->values("data") : std::vector<std::string>{};
  return {"reads every byte of the data and names what is damaged",
          "moat data verify " + (data.empty() ? "DIR" : ShellQuoted(data.front()))};
}

// What only ranks can find: the launcher has read and checked the same flags before.
Advice OtherFlags(const Why& why, const rundir::RunLayout& layout) {
  std::string flag, value;
  if (!RE2::PartialMatch(why.what, R"(use --([a-z_0-9]+)=([^\s,;]+))", &flag, &value)) {
    return {"shows the run's flags, which are sound by themselves; change what the message names",
            "moat config " + ShellQuoted(layout.flags().string())};
  }
  const auto& fixed = configs::IdentityFlags();
  const bool new_run = std::find(fixed.begin(), fixed.end(), flag) != fixed.end();
  return {
      "does what the message proposes" +
          std::string(new_run ? ", in a new run (a run's own --" + flag + " cannot change)" : ""),
      Launch(layout, (new_run ? " --run=" + ShellQuoted(why.run + "-again") : "") + " --" + flag +
                         "=" + ShellQuoted(value))};
}

}  // namespace

Advice AdviceFor(const Why& why, const rundir::RunLayout& layout) {
  Advice go_on = {"goes on from the newest checkpoint", Launch(layout)};
  switch (why.cause) {
    case CauseClass::kNone:
      return {};
    case CauseClass::kOutOfMemory:
      return LessMemory(layout);
    case CauseClass::kNan:
      return LowerRate(why, layout);
    case CauseClass::kData:
      return CheckData(layout);
    case CauseClass::kStorage:
      return {"is there room? Then launch it again to go on",
              "df -h " + ShellQuoted(layout.root.string())};
    case CauseClass::kNode:
      if (why.error_class != core::ExitCodeName(core::ExitCode::kNode)) return go_on;
      return {"says whether this machine is sound; then launch it again, there or elsewhere",
              "moat doctor"};
    case CauseClass::kHang:
    case CauseClass::kPreemption:
      return go_on;
    case CauseClass::kUser:
      if (why.error_class != core::ExitCodeName(core::ExitCode::kConfig)) return go_on;
      return OtherFlags(why, layout);
    case CauseClass::kBug:
      return {"what it said; please report it",
              "moat logs " + why.run +
                  " --run_root=" + ShellQuoted(layout.root.parent_path().string()) +
                  (why.rank >= 0 ? " --rank=" + std::to_string(why.rank) : "")};
  }
  return {};
}

}  // namespace moat::launch
