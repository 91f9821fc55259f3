// Duplicates, then sides.
#include "data/selection.h"

#include <optional>
#include <vector>

#include "data/exact_duplicates.h"
#include "data/splitting.h"

namespace moat::data {

struct Selection::State {
  State(const std::filesystem::path& directory, const configs::ImportConfig& config)
      : splitter(directory,
                 {config.split, config.validation_fraction, config.test_fraction, config.seed}) {
    if (config.dedup != "off") exact.emplace(directory);
  }

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

Split Selection::Settle(std::map<std::string, int64_t>* counts) {
  std::vector<bool> left_out;
  if (state_->exact) {
    left_out.resize(state_->interactions);
    (*counts)["duplicates left out"] = state_->exact->Mark(&left_out);
    state_->exact.reset();
  }
  return state_->splitter.Decide(left_out);
}

}  // namespace moat::data
