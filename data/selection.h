// What an import keeps, and for which split: duplicates are left out first, then the rest is split.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "configs/import_config.h"
#include "data/dataset.h"
#include "data/interaction.h"
#include "data/split.h"

namespace moat::data {

class Selection {
 public:
  // `directory` takes temporary files until the selection is gone.
  // `request` is the configuration's, or the data set's that is added to.
  Selection(const std::filesystem::path& directory, const configs::ImportConfig& config,
            const SplitRequest& request);
  ~Selection();

  // Of an append: everything that `dataset` holds, before what is new. It must outlive the
  // selection.
  void AddOld(const Dataset& dataset);

  // Every interaction of the spool, in its order.
  void Add(const Interaction& interaction);

  // The side of every interaction added; `spool` holds them again. Adds "duplicates left out", ...
  // to `counts`; of what repeats an old interaction, the old one stays. Once. Throws DataError
  // (--split asks for what the interactions do not have).
  Split Settle(const std::filesystem::path& spool, std::map<std::string, int64_t>* counts);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moat::data
