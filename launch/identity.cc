// What makes a run the same run.
#include "launch/identity.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "checkpoint/manifest/line.h"
#include "configs/identity.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/nearest.h"
#include "rundir/metrics.h"

namespace moat::launch {
namespace {

bool SameDirectory(const std::string& before, const std::string& now) {
  namespace fs = std::filesystem;
  return fs::weakly_canonical(fs::absolute(before)) == fs::weakly_canonical(fs::absolute(now));
}

bool Same(const std::string& flag, const configs::CommandLine& before,
          const configs::CommandLine& now) {
  if (flag != "data") return before.value(flag) == now.value(flag);
  const std::vector<std::string> were = before.values(flag), are = now.values(flag);
  return std::equal(were.begin(), were.end(), are.begin(), are.end(), SameDirectory);
}

std::filesystem::path IndexOf(const std::string& data) {
  return std::filesystem::path(data) / "index.json";
}

}  // namespace

std::vector<std::string> CheckSameRun(const rundir::RunLayout& run,
                                      const configs::CommandLine& wanted) {
  const std::filesystem::path run_flags = run.flags();
  if (!std::filesystem::exists(run_flags)) return {};
  const auto before = configs::CommandLine::Parse(
      "train", std::vector<std::string>{"--flagfile=" + run_flags.string()});
  std::string differences;
  for (const std::string& flag : configs::IdentityFlags()) {
    if (Same(flag, before, wanted)) continue;
    differences += (differences.empty() ? "" : "; ") +
                   ("--" + flag + " was " + before.value(flag)) + ", now " + wanted.value(flag);
  }
  if (!differences.empty()) {
    throw core::ConfigError(run.root.string() + " is a run of another configuration: " +
                            differences + "; launch it as it was, or choose another --run");
  }
  std::vector<std::string> notes;
  if (LastStep(run) == 0 && NewestStep(run.checkpoints()) <= 0) return notes;
  for (const std::string& flag : configs::BitFlags()) {
    if (before.value(flag) == wanted.value(flag)) continue;
    notes.push_back("the chain of equal bits ends here: --" + flag + " was " + before.value(flag) +
                    ", now " + wanted.value(flag));
  }
  return notes;
}

void CheckStart(const std::filesystem::path& checkpoints, const configs::TrainConfig& config) {
  std::string steps;
  int64_t newest = 0;
  bool found = false;
  for (const auto& saved : checkpoint::ListLine(checkpoints)) {
    const std::string step = std::to_string(saved.step);
    found = found || step == config.resume;
    newest = std::max(newest, saved.step);
    steps += (steps.empty() ? "" : ", ") + step;
  }
  if (config.resume == "never" && !steps.empty()) {
    throw core::ConfigError("--resume=never, but there are checkpoints in " + checkpoints.string() +
                            " (steps " + steps +
                            "); start another --run, or resume with --resume=auto");
  }
  if (config.resume != "auto" && config.resume != "never") {
    if (!found && !checkpoint::FindStep(checkpoints, std::stoll(config.resume))) {
      throw core::ConfigError("--resume=" + config.resume + ": there is no such checkpoint in " +
                              checkpoints.string() + "; it has " +
                              (steps.empty() ? "none" : "steps " + steps));
    }
  } else if (newest > config.steps) {
    throw core::ConfigError(
        "--steps=" + std::to_string(config.steps) + ", but the run has done " +
        std::to_string(newest) +
        " already; ask for more, or go back with --resume=STEP (saved: " + steps + ")");
  }
}

void CheckData(const std::vector<std::string>& data) {
  for (const std::string& folder : data) {
    const std::filesystem::path index = IndexOf(folder);
    if (std::filesystem::exists(index)) continue;
    const std::filesystem::path nearest =
        core::NearestPath(folder, std::filesystem::path(folder).parent_path());
    throw core::ConfigError("--data=" + folder + ": there is no " + index.string() +
                            (nearest.empty() || nearest == folder
                                 ? "; moat data import makes a data set"
                                 : "; did you mean " + nearest.string() + "?"));
  }
}

std::optional<int64_t> VocabularyOf(const std::vector<std::string>& data) {
  if (data.empty() || !std::filesystem::exists(IndexOf(data.front()))) return std::nullopt;
  const std::filesystem::path index = IndexOf(data.front());
  try {
    return nlohmann::json::parse(core::ReadWholeFile(index)).at("vocab_size").get<int64_t>();
  } catch (const nlohmann::json::exception&) {
    throw core::DataError(index.string() +
                          " does not say vocab_size, so it is no index of a data set; moat data "
                          "verify says what is wrong with it");
  }
}

int64_t NewestStep(const std::filesystem::path& checkpoints) {
  try {
    const auto line = checkpoint::ListLine(checkpoints);
    return line.empty() ? -1 : line.front().step;
  } catch (const core::Error&) {
    return -1;
  }
}

int64_t KeptStep(const configs::TrainConfig& config, const rundir::RunLayout& layout) {
  const int64_t saved = NewestStep(layout.checkpoints());
  const int64_t done = config.local_checkpoint_dir.empty() ? 0 : LastStep(layout);
  return done > 0 ? std::max(saved, done) : saved;
}

int64_t LastStep(const rundir::RunLayout& layout) {
  const rundir::Metrics metrics = rundir::ReadMetrics(layout.metrics());
  return metrics.steps.empty() ? 0 : metrics.steps.rbegin()->first;
}

}  // namespace moat::launch
