// Duplicates, then sides.
#include "data/selection.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "core/host.h"
#include "core/logging.h"
#include "data/exact_duplicates.h"
#include "data/near_duplicates.h"
#include "data/old_interactions.h"
#include "data/splitting.h"
#include "data/spool.h"

namespace moat::data {
struct Selection::State {
  State(const std::filesystem::path& files, const configs::ImportConfig& import_config,
        const SplitRequest& request)
      : directory(files), config(import_config), splitter(files, request) {
    if (config.dedup != "off") exact.emplace(directory);
  }

  std::filesystem::path directory;
  configs::ImportConfig config;
  const Dataset* dataset = nullptr;  // that is added to
  size_t old = 0;                    // interactions of it
  size_t interactions = 0;           // old and new
  // How many of the new ones are marked.
  int64_t NewOf(const std::vector<bool>& marked) const {
    return std::count(marked.begin() + static_cast<std::ptrdiff_t>(old), marked.end(), true);
  }

  std::optional<ExactDuplicates> exact;
  Splitter splitter;
};

Selection::Selection(const std::filesystem::path& directory, const configs::ImportConfig& config,
                     const SplitRequest& request)
    : state_(std::make_unique<State>(directory, config, request)) {}

Selection::~Selection() = default;

void Selection::AddOld(const Dataset& dataset) {
  state_->dataset = &dataset;
  OldInteractions reader(dataset);
  for (OldInteraction old; reader.Next(&old);) {
    ++state_->old;
    if (state_->exact) state_->exact->Add(old.interaction);
    state_->splitter.AddOld(old);
  }
  state_->interactions = state_->old;
}

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
    state_->exact->Mark(&left_out);
    state_->exact.reset();
    (*counts)["duplicates left out"] = state_->NewOf(left_out);
  }
  if (config.dedup == "near") {
    core::Log() << "looking for near duplicates";
    NearDuplicates near(state_->directory, config.near_threshold);
    const int threads = core::ThreadsOf(config.threads);
    if (state_->dataset != nullptr) {
      OldInteractions old(*state_->dataset);
      near.AddAll(
          [&, one = OldInteraction()](Interaction* interaction) mutable {
            const bool more = old.Next(&one);
            *interaction = std::move(one.interaction);
            return more;
          },
          0, left_out, threads);
    }
    SpoolReader reader(spool);
    near.AddAll([&](Interaction* interaction) { return reader.Next(interaction); }, state_->old,
                left_out, threads);
    const int64_t before = state_->NewOf(left_out);
    near.Mark(&left_out);
    (*counts)["near duplicates left out"] = state_->NewOf(left_out) - before;
  }
  // What a data set holds stays, and its sides count, whatever it repeats.
  if (state_->old > 0 && !left_out.empty()) {
    std::fill_n(left_out.begin(), state_->old, false);
  }
  Split split = state_->splitter.Decide(left_out);
  if (config.append) {
    (*counts)["dialogs left out that would join two splits"] = split.joining;
  } else if (config.test_fraction > 0 && split.groups < 3) {
    core::Log(core::Log::kWarning) << "fewer than three groups: the test split is empty";
  }
  return split;
}

}  // namespace moat::data
