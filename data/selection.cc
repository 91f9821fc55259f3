// Duplicates, then sides.
#include "data/selection.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "core/host.h"
#include "core/logging.h"
#include "data/exact_duplicates.h"
#include "data/near_duplicates.h"
#include "data/splitting.h"

namespace moat::data {
struct Selection::State {
  State(const std::filesystem::path& files, const configs::ImportConfig& import_config)
      : directory(files),
        config(import_config),
        splitter(files,
                 {config.split, config.validation_fraction, config.test_fraction, config.seed}) {
    if (config.dedup != "off") exact.emplace(directory);
  }

  std::filesystem::path directory;
  configs::ImportConfig config;
  size_t interactions = 0;
  std::optional<ExactDuplicates> exact;
  Splitter splitter;
};

Selection::Selection(const std::filesystem::path& directory, const configs::ImportConfig& config)
    : state_(std::make_unique<State>(directory, config)) {}

Selection::~Selection() = default;

void Selection::Add(const Interaction& interaction) {
  ++state_->interactions;
  if (state_->exact) state_->exact->Add(interaction);
  state_->splitter.Add(interaction);
}

Split Selection::Settle(const std::filesystem::path& spool,
                        std::map<std::string, int64_t>* counts) {
  const configs::ImportConfig& config = state_->config;
  std::vector<bool> left_out;
  if (state_->exact) {
    left_out.resize(state_->interactions);
    (*counts)["duplicates left out"] = state_->exact->Mark(&left_out);
    state_->exact.reset();
  }
  if (config.dedup == "near") {
    core::Log() << "looking for near duplicates";
    NearDuplicates near(state_->directory, config.near_threshold);
    SpoolReader reader(spool);
    near.AddAll(&reader, left_out, core::ThreadsOf(config.threads));
    (*counts)["near duplicates left out"] = near.Mark(&left_out);
  }
  Split split = state_->splitter.Decide(left_out);
  if (config.test_fraction > 0 && split.groups < 3) {
    core::Log(core::Log::kWarning) << "fewer than three groups: the test split is empty";
  }
  return split;
}

}  // namespace moat::data
