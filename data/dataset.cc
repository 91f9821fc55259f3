// A data set, opened.
#include "data/dataset.h"

#include <algorithm>

#include "core/error.h"
#include "data/index.h"

namespace moat::data {

Dataset Dataset::Open(const std::filesystem::path& directory, int version) {
  Index index = ReadIndex(directory);
  const auto newest = static_cast<int>(index.history.size());
  if (version < 0 || version > newest) {
    throw core::ConfigError(directory.string() + " has no version " + std::to_string(version) +
                            ": expected one of 1 to " + std::to_string(newest));
  }
  Dataset dataset;
  dataset.directory_ = directory;
  dataset.version_ = version == 0 ? newest : version;
  dataset.history_ = index.history;
  dataset.vocab_size_ = index.vocab_size;
  dataset.tokenizer_digest_ = std::move(index.tokenizer_digest);
  dataset.template_digest_ = std::move(index.template_digest);
  const DatasetVersion& chosen = dataset.history_[static_cast<size_t>(dataset.version_ - 1)];
  dataset.content_digest_ = chosen.digests.back();
  index.shards.resize(static_cast<size_t>(chosen.shards));
  dataset.shards_ = std::move(index.shards);
  return dataset;
}

bool Dataset::HeldBeforeForgetting(const std::string& content_digest) const {
  const std::vector<std::string>& digests = history_[static_cast<size_t>(version_ - 1)].digests;
  return std::find(digests.begin(), digests.end() - 1, content_digest) != digests.end() - 1;
}

std::vector<ShardEntry> Dataset::ShardsOf(const std::string& split) const {
  std::vector<ShardEntry> found;
  for (const ShardEntry& shard : shards_) {
    if (shard.split == split) found.push_back(shard);
  }
  return found;
}

}  // namespace moat::data
