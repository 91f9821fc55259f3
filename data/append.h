// What `moat data import --append` does otherwise than an import: it goes by the data set it adds
// to.
//
// New shards are written beside the old ones, whose bytes stay; work in progress lies in
// DIR/.append.importing-<digest>, so that the same append goes on where a kill stopped it. The
// index's replacement is the commit; what is left over goes with the next append or forget.
// Everything the data set holds is read and decoded once (twice for --dedup=near), see
// data/old_interactions.h, and sorted with what is new; memory stays flat but for one bit for each
// old interaction.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "configs/import_config.h"
#include "data/dataset.h"
#include "data/import_state.h"
#include "data/index.h"
#include "data/split.h"

namespace moat::data {

class AppendBase {
 public:
  // REQUIRES: the caller holds the data set's lock. `directory` is a data set, else ConfigError;
  // so too where `key_file` is not the key that its users were hashed with.
  AppendBase(const std::filesystem::path& directory, const std::string& key_file);

  const Dataset& dataset() const { return dataset_; }
  const Index& index() const { return index_; }
  const std::string& key() const { return key_; }

  // `config` with what the data set decides.
  configs::ImportConfig Resolve(configs::ImportConfig config) const;
  SplitRequest Request() const;

  // Whether an import or append of that digest made a version of it.
  bool Holds(const std::string& import_digest) const;

  // Identifies the append of that digest to the data set as it is now.
  std::string WorkDigest(const std::string& import_digest) const;

  // Makes the new version durable. `work` may hold a quarantine.jsonl, which becomes
  // DIR/quarantine.v<version>.jsonl. No shards: everything was left out, and there is no new
  // version. Returns how many interactions were added.
  int64_t Commit(const std::filesystem::path& work, const AppendRecord& record,
                 const ImportState& state, const std::vector<ShardEntry>& shards);

 private:
  Dataset dataset_;
  Index index_;
  std::string key_;
};

}  // namespace moat::data
